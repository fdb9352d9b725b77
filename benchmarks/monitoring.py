"""What it costs to be monitored: the worker as it is beside one that looks and reports hardly ever."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks import product
from benchmarks.places import Places
from benchmarks.suite import Row, compared
from benchmarks.usage import Cost, interleaved

QUIET = (
    Path(__file__).parent / "quiet"
)  # its sitecustomize is found by a worker that is to be quiet


def measured_cost(places: Places, rounds: int) -> list[Row]:
    """PostgreSQL to PostgreSQL with the monitor's beats, and with next to none."""
    print("monitoring", flush=True)

    def run(quiet: bool) -> Cost:
        places.clear()
        if quiet:
            sys.path.insert(0, str(QUIET))  # a worker's path is its starter's
        try:
            urls = (places.source.url, places.target.url)
            return product.run(*urls, ["lineitem"], places.server_pids)[0]
        finally:
            if quiet:
                sys.path.remove(str(QUIET))

    costs = interleaved(rounds, {"syncmon": lambda: run(False), "quiet": lambda: run(True)})
    return compared("cost of monitoring", places.rows, costs, 0.99)
