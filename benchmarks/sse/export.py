"""A long log as CSV, read as it comes."""

from __future__ import annotations

import argparse
import time

import httpx
import psutil

from benchmarks.sse.measure import MIB, holds_of, jupyter, jupyter_in_use, percentile
from benchmarks.sse.table import Row
from tests.simulated import SimulatedRun

EXPORTED = 1_000_000  # log entries of one file


def export(options: argparse.Namespace) -> list[Row]:
    """A long log as CSV, read as it comes: how far the server's memory grows, and who has to wait."""
    with jupyter() as (server, store, process), server.client() as client:
        long = SimulatedRun(store, "long")
        for _ in range(0, EXPORTED, 10_000):
            long.write(*["rows 100,000 to 200,000 of flights are committed"] * 10_000)
        client.get("tasks/long/logs", headers={"Accept": "text/csv"}, params={"after": 900_000})
        with jupyter_in_use(server) as taken, holds_of(server) as held:
            row = _export(client, process)
    return [
        row,
        Row(
            "Jupyter's api/status meanwhile",
            f"p99 {percentile(taken, 0.99) * 1e3:.0f} ms",
            "p99 < 100 ms",
            percentile(taken, 0.99) < 0.1,
        ),
        Row(
            "longest hold of the event loop meanwhile",
            f"{held.longest * 1e3:.0f} ms",
            "< 50 ms",
            held.longest < 0.05,
        ),
    ]


def _export(client: httpx.Client, process: psutil.Process) -> Row:
    before = highest = process.memory_info().rss
    began, lines, size = time.monotonic(), 0, 0
    with client.stream("GET", "tasks/long/logs", headers={"Accept": "text/csv"}) as answer:
        for number, piece in enumerate(answer.iter_bytes()):
            lines, size = lines + piece.count(b"\n"), size + len(piece)
            if number % 20 == 0:
                highest = max(highest, process.memory_info().rss)
    grown = highest - before
    return Row(
        f"CSV of {lines - 1:,} log entries, {size / MIB:.0f} MiB, in {time.monotonic() - began:.0f} s",
        f"memory of the server grows by {grown / MIB:.1f} MiB",
        "constant: < 16 MiB",
        grown < 16 * MIB,
    )
