"""The server under load: clients in another process, loopback only, beside its peers in one run.

    python -m benchmarks.sse [--clients N] [--many N] [--seconds S] [--entries N] [--only PART …]

Parts: fanout, load, many, tasks, rest, export. Writes RESULTS-sse.md beside this file, with the targets.
sse-starlette and uvicorn come with the extra ``bench``; without them their rows are left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import resource
import signal
import statistics
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import msgspec
import psutil

from benchmarks.sse_measure import (
    Helper,
    connect,
    cpu_seconds,
    holds_of,
    jupyter,
    jupyter_in_use,
    lateness,
    percentile,
    sockets_of,
    wait_until,
)
from benchmarks.sse_table import Row, write_results
from syncmon_ext.model.state import UnitState
from syncmon_ext.store import units
from syncmon_ext.store.store import Store
from tests.simulated import SimulatedRun

DEAF = 10
BURST = 100  # events to each client; they fit into the sockets' buffers
EXPORTED = 1_000_000  # log entries of one file
MIB = 1_048_576
KIND_NAMES = {
    "bare": "socket.send in a loop, the floor",
    "syncmon": "syncmon",
    "tornado": "Tornado, write + flush",
    "websocket": "Tornado's WebSocket",
    "starlette": "sse-starlette on uvicorn",
}
UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Version": "13",
}


# -- fan-out beside the peers ----------------------------------------------------------------------


def fanout(options: argparse.Namespace) -> list[Row]:
    """Events to many clients as fast as they go, and one a second, by each of the servers."""
    kinds = ["bare", "tornado", "syncmon", "websocket"]
    if importlib.util.find_spec("sse_starlette") and importlib.util.find_spec("uvicorn"):
        kinds.append("starlette")
    cost: dict[str, float] = {}
    speed: dict[str, float] = {}
    delays: dict[str, list[float]] = {}
    memory: dict[str, float] = {}
    for kind in kinds:
        with (
            Helper("benchmarks.sse_peers", kind) as server,
            Helper("benchmarks.sse_crowd") as crowd,
        ):
            port = server.answer()["port"]
            headers = UPGRADE if kind == "websocket" else {}
            process = psutil.Process(server.process.pid)
            before = process.memory_info().rss
            crowd.ask(do="connect", port=port, path="/", headers=headers, count=options.clients)
            memory[kind] = (process.memory_info().rss - before) / options.clients / 1024
            paced = server.ask(do="send", first=0, events=options.seconds, seconds=1)["times"]
            arrivals = crowd.ask(do="arrivals")["arrivals"]
            delays[kind] = [at - paced[str(number)] for number, at in arrivals]
            costs, speeds = [], []
            for turn in range(1, 4):
                before = server.ask(do="cpu")["cpu"]
                first = turn * 1_000
                times = server.ask(do="send", first=first, events=BURST, seconds=0)["times"]
                total = BURST * options.clients
                wait_until(lambda total=total: crowd.ask(do="count")["events"] >= total, 60)
                costs.append((server.ask(do="cpu")["cpu"] - before) / total * 1e6)
                arrivals = crowd.ask(do="arrivals")["arrivals"]
                speeds.append(len(arrivals) / (max(at for _, at in arrivals) - times[str(first)]))
            cost[kind], speed[kind] = statistics.median(costs), max(speeds)
    rows = [
        Row(
            f"{KIND_NAMES[kind]}: events to {options.clients:,} clients, one process",
            f"{speed[kind]:,.0f} events/s, {cost[kind]:.1f} µs of CPU each; "
            f"{memory[kind]:.1f} KiB a client",
        )
        for kind in kinds
    ]
    rows += [
        Row(
            f"{KIND_NAMES[kind]}: delivery at 1 event/s",
            f"p50 {percentile(delays[kind], 0.5) * 1e3:.0f} ms, "
            f"p99 {percentile(delays[kind], 0.99) * 1e3:.0f} ms",
        )
        for kind in kinds
    ]
    for kind, least in (("tornado", 2.0), ("starlette", 3.0)):
        if kind in kinds:
            ratio = cost[kind] / cost["syncmon"]
            pace = speed["syncmon"] / speed[kind]
            rows.append(
                Row(
                    f"syncmon beside {KIND_NAMES[kind]}",
                    f"{ratio:.1f} × by CPU, {pace:.1f} × by events/s",
                    f"≥ {least:g} ×",
                    ratio >= least and pace >= least,
                )
            )
    return rows


# -- a real Jupyter server ---------------------------------------------------------------------------


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
        Helper("benchmarks.sse_crowd") as crowd,
        Helper("benchmarks.sse_crowd") as stalled,
    ):
        run, loud = SimulatedRun(store, "load"), SimulatedRun(store, "loud")
        connect(crowd, server, "stream?task=load", 20)  # what is loaded once is no client's
        crowd.ask(do="leave")
        time.sleep(1)
        files, memory = sockets_of(process), process.memory_info().rss
        connect(crowd, server, "stream?task=load", count)
        connected = process.memory_info().rss
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
                Row(
                    f"{name}{words}: longest hold of the event loop",
                    f"{held.longest * 1e3:.0f} ms; over 50 ms: {held.own} by syncmon, "
                    f"{held.others} by others",
                    "< 50 ms",
                    held.longest < 0.05,
                ),
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
        rows.append(_left_behind(name, process, memory, count))
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


def _left_behind(name: str, process: psutil.Process, baseline: int, count: int) -> Row:
    """The memory beyond the baseline, half a minute after all have left; and free pages given back."""
    time.sleep(30)
    left = process.memory_info().rss - baseline
    process.send_signal(signal.SIGUSR2)  # TRIM: what the allocator keeps goes to the system
    time.sleep(1)
    trimmed = process.memory_info().rss - baseline
    return Row(
        f"{name} left: memory beyond the baseline, 30 s later",
        f"{left / count / 1024:+.1f} KiB for each of them, {trimmed / count / 1024:+.1f} trimmed",
    )


def _write(run: SimulatedRun, loud: SimulatedRun | None, seconds: int) -> dict[int, float]:
    """One entry a second; when each was committed. ``loud`` writes a megabyte a second beside it."""
    written: dict[int, float] = {}
    stop = threading.Event()

    def shout() -> None:
        assert loud is not None
        while not stop.wait(0.25):
            loud.write(*("x" * 8_000 for _ in range(30)))

    shouting = threading.Thread(target=shout)
    if loud is not None:
        shouting.start()
    for number in range(seconds):
        run.write(f"mark-{number}- rows 100,000 to 200,000 of flights are committed")
        written[number] = time.monotonic()
        time.sleep(1)
    stop.set()
    if loud is not None:
        shouting.join()
    return written


# -- many tasks, and single calls --------------------------------------------------------------------


def tasks(options: argparse.Namespace) -> list[Row]:
    """100 tasks with 200 units each, all moving, watched by 5 clients at the usual pace of 2 s."""
    names = [f"t{number}" for number in range(200)]
    watchers = 5
    with jupyter(2.0) as (server, store, process), Helper("benchmarks.sse_crowd") as crowd:
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


def rest(options: argparse.Namespace) -> list[Row]:
    """The two calls that a page makes first."""
    with jupyter() as (server, store, _), server.client() as client:
        wide = SimulatedRun(store, "wide", [f"t{number}" for number in range(10_000)])
        long = SimulatedRun(store, "long")
        for _ in range(0, options.entries, 10_000):
            long.write(*["rows 100,000 to 200,000 of flights are committed"] * 10_000)
        floor = _milliseconds(lambda: client.get(f"{server.url}api/status"), 100)
        logs = _milliseconds(lambda: client.get("tasks/long/logs?limit=50"), 100)
        unread = [_all_moved(store, f"unread-{number}") for number in range(9)]
        client.headers["Accept-Encoding"] = "identity"
        cold = _milliseconds(
            lambda: client.get(f"tasks/{unread.pop().task_id}/progress"), len(unread)
        )
        progress = _milliseconds(lambda: client.get("tasks/wide/progress"), 30)
        changed = _milliseconds(
            lambda: client.get("tasks/wide/progress"), 30, lambda: wide.commit("t77", 5)
        )
    return [
        Row("Jupyter's api/status, as a floor", f"p50 {floor:.1f} ms"),
        Row(
            f"logs?limit=50 of {options.entries:,} entries",
            f"p50 {logs:.1f} ms",
            "< 5 ms",
            logs < 5,
        ),
        Row("progress of 10,000 units", f"p50 {progress:.1f} ms", "< 20 ms", progress < 20),
        Row("the same after a unit changed", f"p50 {changed:.1f} ms", "< 20 ms", changed < 20),
        Row(
            "the same for the first time, of 9 tasks whose units have all moved",
            f"p50 {cold:.1f} ms",
            "< 20 ms",
            cold < 20,
        ),
    ]


def _all_moved(store: Store, task_id: str) -> SimulatedRun:
    """A run of 10,000 units, each with figures of its own, that nobody has looked at."""
    run = SimulatedRun(store, task_id, [f"t{number}" for number in range(10_000)])
    now = datetime.now(UTC)
    moved = [
        msgspec.structs.replace(
            unit,
            state=UnitState.COMPLETED,
            progress=100 / (number + 3),
            rows_committed=number * 1_009,
            bytes_committed=number * 100_003,
            speed=1e5 / (number + 7),
            chunks_total=12,
            chunks_committed=12,
            started_at=now,
            finished_at=now + timedelta(seconds=number / 7),
        )
        for number, unit in enumerate(run.units.values())
    ]
    with store.write() as connection:
        units.save_units(connection, task_id, run.run_id, moved)
    return run


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


def _milliseconds(
    call: Callable[[], httpx.Response], times: int, before: Callable[[], object] = lambda: None
) -> float:
    """The median of many calls."""
    taken = []
    for _ in range(times):
        before()
        began = time.monotonic()
        call().raise_for_status()
        taken.append(time.monotonic() - began)
    return statistics.median(taken) * 1e3


PARTS = {
    "fanout": fanout,
    "load": load,
    "many": many,
    "tasks": tasks,
    "rest": rest,
    "export": export,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=1_000)
    parser.add_argument("--many", type=int, default=5_000)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    for part in options.only:
        rows = PARTS[part](options)
        for row in rows:
            print(row.line(), flush=True)
        write_results(Path(__file__).with_name("RESULTS-sse.md"), part, rows)


if __name__ == "__main__":
    main()
