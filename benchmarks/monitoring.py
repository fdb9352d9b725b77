"""What it costs to be monitored: the worker as it is beside one that looks and reports hardly ever."""

from __future__ import annotations

from typing import Final

from benchmarks import product
from benchmarks.places import Places
from benchmarks.suite import Row, compared
from benchmarks.usage import Cost, interleaved

PAIRS: Final = 12  # with fewer the noise of a run is wider than what is measured


def measured_cost(places: Places, pairs: int) -> list[Row]:
    """PostgreSQL to PostgreSQL with the monitor's beats, and with next to none."""
    print("monitoring", flush=True)

    def run(quiet: bool) -> Cost:
        places.clear()
        return product.run(
            places.source.url,
            places.target.url,
            ["lineitem"],
            places.server_pids,
            quiet=quiet,
            noted=False,
        )

    costs = interleaved(pairs, {"syncmon": lambda: run(False), "quiet": lambda: run(True)})
    return compared("cost of monitoring", places.rows, costs, 0.99)
