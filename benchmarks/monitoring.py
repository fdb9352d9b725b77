"""What it costs to be monitored: the worker as it is beside one that looks and reports hardly ever."""

from __future__ import annotations

import statistics
from typing import Final

from benchmarks import product
from benchmarks.places import Places
from benchmarks.suite import US, Row, compared
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
    worker = [run.monitor_cpu / (run.cpu + run.server_cpu) for run in costs[US]]
    watch = [run.watch_cpu / (run.cpu + run.server_cpu) for run in costs[US]]
    both = [sum(parts) for parts in zip(worker, watch, strict=True)]
    costs[US][0].note = (
        f"the monitor itself takes {_shown(both)} of all CPU seconds: in the worker {_shown(worker)}, "
        f"and in who watches the store as a server does {_shown(watch)}"
    )
    print(f"  {costs[US][0].note}", flush=True)
    return compared("cost of monitoring", places.rows, costs, 0.99)


def _shown(shares: list[float]) -> str:
    return f"{statistics.median(shares):.2%} ({min(shares):.2%}–{max(shares):.2%})"
