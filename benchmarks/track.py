"""What a tracked iteration costs, beside tqdm, rich and a plain generator, in one run.

    python benchmarks/track.py [--iterations N] [--rounds N] [--at-most RATIO]

Each round runs all of them, in turn; the medians of the processor time that the loop's thread took
count. So it does with ``update()`` in a ``with`` block. Exits with 1 where ``track`` or its ``update()``
costs more than ``--at-most`` of what tqdm's costs; 0.5 is what it is to keep to on a quiet machine.
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator

from rich.console import Console
from rich.progress import track as rich_track
from tqdm import tqdm

from syncmon_widgets import track
from syncmon_widgets.reporter import reporter


def plain(iterable: Iterable[int]) -> Iterator[int]:
    for item in iterable:  # noqa: UP028  # a delegation would cost less than any loop can
        yield item


def nanoseconds(items: Callable[[int], Iterable[int]], count: int) -> float:
    """Per iteration, of an empty body."""
    iterable = items(count)
    began = time.thread_time()  # other programs' load does not count
    for _ in iterable:
        pass
    return (time.thread_time() - began) / count * 1e9


def update_nanoseconds(update: Callable[[], object], count: int) -> float:
    """Per call."""
    began = time.thread_time()
    for _ in range(count):
        update()
    return (time.thread_time() - began) / count * 1e9


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--at-most", type=float, default=0.5, metavar="RATIO")
    asked = parser.parse_args()
    os.environ["SYNCMON_STORE"] = f"sqlite:///{tempfile.mkdtemp()}/store.db"
    os.environ["JUPYTER_RUNTIME_DIR"] = tempfile.mkdtemp()
    quiet = io.StringIO()
    ways: dict[str, Callable[[int], Iterable[int]]] = {
        "empty body": range,
        "plain generator": lambda n: plain(range(n)),
        "track": lambda n: track(range(n), "benchmark"),
        "tqdm": lambda n: tqdm(range(n), file=quiet),
        "rich": lambda n: rich_track(range(n), console=Console(file=quiet)),
    }
    for items in ways.values():  # imports, and the store is made
        nanoseconds(items, 1_000)
    while reporter()._known or reporter()._new:
        time.sleep(0.01)
    idle = time.process_time() - time.thread_time()
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(asked.rounds):
        for name, items in ways.items():
            found[name].append(nanoseconds(items, asked.iterations))
    medians = {name: statistics.median(times) for name, times in found.items()}
    for name, median in medians.items():
        print(f"{name:16} {median:7.1f} ns   {median / medians['tqdm']:5.2f} of tqdm")
    reports = (time.process_time() - time.thread_time() - idle) / asked.rounds
    print(f"reporting one loop takes {reports * 1e3:.1f} ms beside it, in a thread of its own")
    ratio = medians["track"] / medians["tqdm"]
    with track("updates") as loop, tqdm(file=quiet) as bar:
        updates = {"track.update": loop.update, "tqdm.update": bar.update}
        found = {name: [] for name in updates}
        for _ in range(asked.rounds):
            for name, update in updates.items():
                found[name].append(update_nanoseconds(update, asked.iterations // 4))
    medians = {name: statistics.median(times) for name, times in found.items()}
    for name, median in medians.items():
        print(f"{name:16} {median:7.1f} ns   {median / medians['tqdm.update']:5.2f} of tqdm")
    update_ratio = medians["track.update"] / medians["tqdm.update"]
    return int(max(ratio, update_ratio) > asked.at_most)


if __name__ == "__main__":
    sys.exit(main())
