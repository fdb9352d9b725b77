"""One client of one task: from the commit of a change in the store until its bytes arrive."""

from __future__ import annotations

import argparse
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.sse.measure import jupyter, percentile
from benchmarks.sse.table import Row
from syncmon_ext.model.state import State
from syncmon_ext.store.store import Store
from tests.databases import postgres_database
from tests.server import JupyterServer
from tests.simulated import SimulatedRun

CHANGES = 100
PAUSE_SECONDS = 0.1  # between two changes: commits in a row are told together
IDLE_SECONDS = 3.0  # after which a store is looked at more rarely
AFTER_IDLE = 5


def latency(_: argparse.Namespace) -> list[Row]:
    """A change of state for one client, at the usual push interval, with each kind of store."""
    rows = []
    with jupyter(2.0) as (server, store, _process):
        rows += _rows("SQLite", server, store)
    with postgres_database("latency") as url, jupyter(2.0, url) as (server, store, _process):
        rows += _rows("PostgreSQL", server, store)
    return rows


def _rows(name: str, server: JupyterServer, store: Store) -> list[Row]:
    run = SimulatedRun(store, "one")
    with _stream(server, "tasks/one/stream") as arrived:
        busy = [_delay(run, arrived, number) for number in range(CHANGES)]
        rare = [_delay(run, arrived, number, IDLE_SECONDS) for number in range(AFTER_IDLE)]
    return [
        Row(
            f"{name} store: a change of state, from the end of its commit to the client",
            f"p50 {percentile(busy, 0.5) * 1e3:.1f} ms, p99 {percentile(busy, 0.99) * 1e3:.1f} ms",
        ),
        Row(
            f"{name} store: the same after {IDLE_SECONDS:.0f} s without a change",
            f"p50 {percentile(rare, 0.5) * 1e3:.1f} ms, worst {max(rare) * 1e3:.1f} ms",
        ),
    ]


def _delay(
    run: SimulatedRun, stream: socket.socket, number: int, pause: float = PAUSE_SECONDS
) -> float:
    """The seconds from the commit of the next state until it is read."""
    time.sleep(pause)
    state = State.PAUSED if number % 2 == 0 else State.RUNNING
    run.become(state)
    committed = time.monotonic()
    wanted = f'"state":"{state}"'.encode()
    data = b""
    while wanted not in data:
        piece = stream.recv(65_536)
        assert piece, "the stream ended"
        data += piece
    return max(0.0, time.monotonic() - committed)


@contextmanager
def _stream(server: JupyterServer, path: str) -> Iterator[socket.socket]:
    """A plain socket that has read the task's first state."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(
            f"GET /api/v1/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Authorization: token {server.token}\r\n\r\n".encode()
        )
        data = b""
        while b"event: log" not in data:
            data += connection.recv(65_536)
        yield connection
