"""How long a million log entries and samples take to become a DataFrame, and what importing costs.

    python -m benchmarks.frames [--rows 1000000] [--rounds 9]

The entries come from a server through Arrow, as a notebook has them. The time that an import takes is the
median of fresh interpreters, beside that of an empty one and of one that imports pandas.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from sqlalchemy import insert

from syncmon_ext.store.columns import utc_now
from syncmon_ext.store.schema import progress_samples
from syncmon_ext.store.store import Store
from syncmon_widgets import connect
from tests.browser.long_log import BATCH, make_log
from tests.browser.site import Site

TASK = "long"
PROGRAMS = ("", "import json", "import syncmon_widgets", "import pandas")


def make_samples(store: Store, run_id: str, rows: int) -> None:
    """So many progress samples of a run."""
    began = utc_now() - timedelta(seconds=2 * rows)
    for first in range(0, rows, BATCH):
        made = [
            {
                "run_id": run_id,
                "sample": number,
                "time": began + timedelta(seconds=2 * number),
                "elapsed_seconds": 2.0 * number,
                "rows_committed": 1_000 * number,
                "bytes_committed": 40_000 * number,
                "overall_progress": 100.0 * number / rows,
                "speed": 500.0,
                "speed_bytes": 20_000.0,
            }
            for number in range(first, min(first + BATCH, rows))
        ]
        with store.write() as connection:
            connection.execute(insert(progress_samples), made)


def import_seconds(rounds: int) -> dict[str, float]:
    """The median of the time that each program takes, in turn, less that of an empty one."""
    found: dict[str, list[float]] = {program: [] for program in PROGRAMS}
    for _ in range(rounds):
        for program, times in found.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], check=True)
            times.append(time.perf_counter() - began)
    return {program: statistics.median(times) for program, times in found.items()}


def main() -> None:
    """Measure, and print."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.frames", description=__doc__)
    options.add_argument("--rows", type=int, default=1_000_000)
    options.add_argument("--rounds", type=int, default=9)
    chosen = options.parse_args()
    for program, seconds in import_seconds(chosen.rounds).items():
        print(f"{program or 'an empty program':24} {seconds * 1000:6.0f} ms")
    with tempfile.TemporaryDirectory() as name, Site(Path(name), {}, {}, takeover=False) as site:
        site.call("GET", "tasks")  # makes the store
        store = site.store()
        make_log(store, TASK, chosen.rows)
        run_id = site.progress(TASK)["run_id"]
        make_samples(store, run_id, chosen.rows)
        store.close()
        task = connect(site.server.url, token=site.server.token).task(TASK)
        for what, read in (("logs", task.logs), ("history", task.history)):
            began = time.perf_counter()
            frame = read()
            seconds = time.perf_counter() - began
            used = frame.memory_usage(deep=True).sum() / 1e6
            print(f"{what}(): {len(frame):,} rows in {seconds:.2f} s, {used:.0f} MB in pandas")


if __name__ == "__main__":
    main()
