"""The two calls that a page makes first: progress of many units, the end of a long log."""

from __future__ import annotations

import argparse
import http.client
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.parse import urljoin, urlsplit

import msgspec

from benchmarks.sse.measure import jupyter
from benchmarks.sse.table import Row
from syncmon_ext.model.state import UnitState
from syncmon_ext.store import units
from syncmon_ext.store.store import Store
from tests.server import JupyterServer
from tests.simulated import SimulatedRun


class _Client:
    """A kept connection that reads answers and does nothing else: httpx alone takes 6 ms for 4 MB."""

    def __init__(self, server: JupyterServer) -> None:
        address = urlsplit(server.url)
        assert address.hostname is not None
        self._connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
        self._headers = {"Authorization": f"token {server.token}"}
        self._base = urlsplit(server.api).path

    def get(self, path: str) -> None:
        """Ask for a path below the API's, or from the root, and read the answer to its end."""
        self._connection.request("GET", urljoin(self._base, path), headers=self._headers)
        answer = self._connection.getresponse()
        answer.read()
        assert answer.status == http.HTTPStatus.OK, answer.status


def rest(options: argparse.Namespace) -> list[Row]:
    """The two calls that a page makes first."""
    with jupyter() as (server, store, _):
        client = _Client(server)
        wide = SimulatedRun(store, "wide", [f"t{number}" for number in range(10_000)])
        long = SimulatedRun(store, "long")
        for _ in range(0, options.entries, 10_000):
            long.write(*["rows 100,000 to 200,000 of flights are committed"] * 10_000)
        floor = _milliseconds(lambda: client.get(urlsplit(f"{server.url}api/status").path), 100)
        logs = _milliseconds(lambda: client.get("tasks/long/logs?limit=50"), 100)
        unread = [_all_moved(store, f"unread-{number}") for number in range(9)]
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


def _milliseconds(
    call: Callable[[], None], times: int, before: Callable[[], object] = lambda: None
) -> float:
    """The median of many calls."""
    taken = []
    for _ in range(times):
        before()
        began = time.monotonic()
        call()
        taken.append(time.monotonic() - began)
    return statistics.median(taken) * 1e3
