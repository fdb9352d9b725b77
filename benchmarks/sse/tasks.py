"""Many tasks with many units, all of them moving."""

from __future__ import annotations

import argparse
import time

from benchmarks.sse.measure import (
    Helper,
    connect,
    cpu_seconds,
    jupyter,
    jupyter_in_use,
    percentile,
    wait_until,
)
from benchmarks.sse.table import Row
from tests.simulated import SimulatedRun


def tasks(options: argparse.Namespace) -> list[Row]:
    """100 tasks with 200 units each, all moving, watched by 5 clients at the usual pace of 2 s."""
    names = [f"t{number}" for number in range(200)]
    watchers = 5
    with jupyter(2.0) as (server, store, process), Helper("benchmarks.sse.crowd") as crowd:
        runs = [SimulatedRun(store, f"task-{number}", names) for number in range(100)]
        began = time.monotonic()
        connect(crowd, server, "stream", watchers)
        cpu, written = cpu_seconds(process), {}
        with jupyter_in_use(server) as taken:
            for turn in range(options.seconds):
                turn_began = time.monotonic()
                for number, run in enumerate(runs):
                    run.commit(f"t{turn}", 50)
                    run.write(f"mark-{turn * 100 + number}- one unit moved")
                    written[turn * 100 + number] = time.monotonic()
                time.sleep(max(0.0, turn_began + 1 - time.monotonic()))
            expected = len(written) * watchers
            wait_until(lambda: crowd.ask(do="count")["events"] >= expected, 20)
        cpu = cpu_seconds(process) - cpu
        taken_seconds = time.monotonic() - began
        arrivals = crowd.ask(do="arrivals")["arrivals"]
    delays = [at - written[number] for number, at in arrivals]
    return [
        Row(
            f"100 tasks × 200 units, each moving once a second, {watchers} clients of all",
            f"p50 {percentile(delays, 0.5) * 1e3:.0f} ms, p99 {percentile(delays, 0.99) * 1e3:.0f} ms, "
            f"{cpu / taken_seconds:.0%} of a core",
            "2 s and a little: the interval",
            percentile(delays, 0.99) < 2.5,
        ),
        Row(
            "100 tasks × 200 units: entries that arrived",
            f"{len(delays):,} of {expected:,}",
            "all",
            len(delays) == expected,
        ),
        Row(
            "100 tasks × 200 units: Jupyter's api/status",
            f"p99 {percentile(taken, 0.99) * 1e3:.0f} ms",
            "p99 < 100 ms",
            percentile(taken, 0.99) < 0.1,
        ),
    ]
