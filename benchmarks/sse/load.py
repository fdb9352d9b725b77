"""A Jupyter server in use, with many clients at one event a second."""

from __future__ import annotations

import argparse
import resource
import time
from contextlib import nullcontext

from benchmarks.sse.measure import (
    MIB,
    Held,
    Helper,
    blocks_of,
    connect,
    cpu_seconds,
    holds_of,
    jupyter,
    jupyter_in_use,
    lateness,
    percentile,
    repeated,
    sockets_of,
    wait_until,
)
from benchmarks.sse.table import Row
from tests.simulated import SimulatedRun

DEAF = 10
LEFT = 0.1  # of the blocks that a crowd had: caches that its first requests fill


def load(options: argparse.Namespace) -> list[Row]:
    """Clients at 1 event/s, beside Jupyter in use, without and with clients that never read."""
    return _load(options, options.clients, name=f"{options.clients:,} clients", whole=True)


def many(options: argparse.Namespace) -> list[Row]:
    """As many clients as the system lets us."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    count = min(options.many, files - 500)
    return _load(options, count, name=f"{count:,} clients", whole=False)


def _load(options: argparse.Namespace, count: int, *, name: str, whole: bool) -> list[Row]:
    rows = []
    with (
        jupyter() as (server, store, process),
        Helper("benchmarks.sse.crowd") as crowd,
        Helper("benchmarks.sse.crowd") as stalled,
    ):
        run, loud = SimulatedRun(store, "load"), SimulatedRun(store, "loud")
        connect(crowd, server, "stream?task=load", 20)  # what is loaded once is no client's
        crowd.ask(do="leave")
        time.sleep(1)
        blocks = blocks_of(server)
        files, memory = sockets_of(process), process.memory_info().rss
        with holds_of(server) as held:
            connect(crowd, server, "stream?task=load", count)
        connected = process.memory_info().rss
        rows.append(_held(f"{name} as they connect", held))
        rows.append(
            Row(
                f"{name}: memory of the server for each",
                f"{(connected - memory) / count / 1024:.1f} KiB",
                "< 20 KiB",
                (connected - memory) / count < 20 * 1024,
            )
        )
        for deaf in (0, DEAF) if whole else (0,):
            words = f", {deaf} of them deaf" if deaf else ""
            if deaf:
                connect(stalled, server, "stream?task=load&task=loud", 0, deaf=deaf)
            began, cpu = time.monotonic(), cpu_seconds(process)
            with jupyter_in_use(server) as taken, lateness() as late, holds_of(server) as held:
                written = _write(run, loud if deaf else None, options.seconds)
            cpu = cpu_seconds(process) - cpu
            arrivals = crowd.ask(do="arrivals")["arrivals"]
            delays = [at - written[number] for number, at in arrivals if number in written]
            expected = count * options.seconds
            worst = percentile(delays, 0.99)
            rows += [
                Row(
                    f"{name} at 1 event/s{words}: delivery since the commit",
                    f"p50 {percentile(delays, 0.5) * 1e3:.0f} ms, p99 {worst * 1e3:.0f} ms",
                    "p99 < 60 ms" if whole else "",
                    worst < 0.06 if whole else None,
                ),
                Row(
                    f"{name}{words}: a process that only sleeps, meanwhile",
                    f"wakes p99 {percentile(late, 0.99) * 1e3:.0f} ms late: the machine's share",
                ),
                Row(
                    f"{name}{words}: events that arrived",
                    f"{len(delays):,} of {expected:,}",
                    "all",
                    len(delays) == expected,
                ),
                Row(
                    f"{name}{words}: CPU of the whole server",
                    f"{cpu / max(1, len(delays)) * 1e6:.0f} µs for each event that arrived, "
                    f"{cpu / (time.monotonic() - began):.0%} of a core",
                ),
                _held(f"{name}{words}", held),
                Row(
                    f"{name}{words}: Jupyter's api/status",
                    f"p50 {percentile(taken, 0.5) * 1e3:.0f} ms, "
                    f"p99 {percentile(taken, 0.99) * 1e3:.0f} ms",
                    "p99 < 100 ms",
                    percentile(taken, 0.99) < 0.1,
                ),
            ]
        if whole:
            closed = wait_until(
                lambda: sockets_of(process) - files <= count, 25
            )  # the deaf ones were blocked for 15 s
            rows.append(
                Row(f"{DEAF} deaf clients are closed", "yes" if closed else "no", "yes", closed)
            )
        grown = process.memory_info().rss - connected
        rows.append(
            Row(
                f"{name}: growth of RSS under load",
                f"{grown / MIB:.0f} MiB",
                "< 64 MiB",
                grown < 64 * MIB,
            )
        )
        there = blocks_of(server) - blocks
        crowd.ask(do="leave")
        stalled.ask(do="leave")
        began = time.monotonic()
        back = wait_until(lambda: sockets_of(process) <= files, 30)
        rows.append(
            Row(
                f"{name} left: sockets back to the baseline",
                f"{sockets_of(process) - files:+d} after {time.monotonic() - began:.1f} s",
                "+0 within 30 s",
                back,
            )
        )
        time.sleep(30)
        resident, left = process.memory_info().rss - memory, blocks_of(server) - blocks
        rows += [
            Row(
                f"{name} left: blocks of memory in use beyond the baseline, 30 s later",
                f"{left:+,} of {blocks:,}, where the clients had {there:+,}",
                f"< {LEFT:.0%} of theirs",
                left < LEFT * there,
            ),
            Row(
                f"{name} left: what the allocator keeps beyond the baseline, 30 s later",
                f"{resident / count / 1024:+.1f} KiB for each of them",
            ),
        ]
        connect(crowd, server, "stream?task=load", count)
        again = process.memory_info().rss - connected - max(0, grown)
        rows.append(
            Row(
                f"{name} came again: memory beyond the first time",
                f"{again / MIB:+.1f} MiB",
                "< 5 MiB",
                again < 5 * MIB,
            )
        )
    return rows


def _held(name: str, held: Held) -> Row:
    return Row(
        f"{name}: longest hold of the event loop",
        f"{held.longest * 1e3:.0f} ms; over 50 ms: {held.own} by syncmon, {held.others} by others",
        "< 50 ms",
        held.longest < 0.05,
    )


def _write(run: SimulatedRun, loud: SimulatedRun | None, seconds: int) -> dict[int, float]:
    """One entry a second; when each was committed. ``loud`` writes a megabyte a second beside it."""
    written: dict[int, float] = {}

    def shout() -> None:
        assert loud is not None
        loud.write(*("x" * 8_000 for _ in range(30)))

    with nullcontext() if loud is None else repeated(0.25, shout):
        for number in range(seconds):
            run.write(f"mark-{number}- rows 100,000 to 200,000 of flights are committed")
            written[number] = time.monotonic()
            time.sleep(1)
    return written
