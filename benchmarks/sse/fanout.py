"""Events to many clients from one process, by syncmon and by its peers."""

from __future__ import annotations

import argparse
import importlib.util
import statistics

import psutil

from benchmarks.sse.measure import Helper, percentile, wait_until
from benchmarks.sse.table import Row

BURST = 100  # events to each client; they fit into the sockets' buffers
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
            Helper("benchmarks.sse.peers", kind) as server,
            Helper("benchmarks.sse.crowd") as crowd,
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
