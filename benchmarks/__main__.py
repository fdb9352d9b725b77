"""Measures everything and writes RESULTS.md: ``python -m benchmarks [--scale 0.5] [--rounds 5]``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from benchmarks import monitoring, report, suite, usage
from benchmarks.places import Places

HERE = Path(__file__).parent


def main() -> None:
    """Parse the options, measure, report."""
    options = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    options.add_argument("--scale", type=float, default=0.5, help="of TPC-H; 1 = 6 M rows")
    options.add_argument(
        "--sqlite-scale", type=float, default=1.0, help="the same from SQLite to SQLite"
    )
    options.add_argument("--rounds", type=int, default=5, help="interleaved rounds per route")
    options.add_argument(
        "--pairs",
        type=int,
        default=monitoring.PAIRS,
        help="of runs that tell what monitoring costs",
    )
    options.add_argument(
        "--only", default="", help="routes whose name holds this; nothing is written"
    )
    options.add_argument("--folder", type=Path, default=HERE / "data", help="databases go here")
    chosen = options.parse_args()
    # Users have their modules compiled; a development setting must not make each start parse them.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

    usage.adopt_orphans()
    load = [os.getloadavg()[0]]
    places = Places(chosen.folder, chosen.scale, chosen.sqlite_scale)
    rows: list[suite.Row] = []
    for route in suite.ROUTES:
        if chosen.only in route.name:
            rows += suite.of_route(places, route, chosen.rounds)
    load.append(os.getloadavg()[0])
    if chosen.only in "many small tables":
        rows += suite.of_small_tables(places, chosen.rounds)
    if chosen.only in "monitoring":
        rows += monitoring.measured_cost(places, chosen.pairs)
    load.append(os.getloadavg()[0])
    if not chosen.only:
        shown = ", ".join(f"{value:.1f}" for value in load)
        report.write(HERE, rows, rounds=chosen.rounds, pairs=chosen.pairs, load=shown)
        print(f"written to {HERE / 'RESULTS.md'}")


if __name__ == "__main__":
    main()
