"""While somebody watches, a server has a worker that stands by."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from syncmon_ext.model.state import State
from tests.api.conftest import make_server
from tests.api.slow_copy import fill
from tests.api.test_lifecycle import until
from tests.faults.harness import is_gone
from tests.server import JupyterServer
from tests.sse import opened
from tests.workers import standing_by


def ready_workers(server: JupyterServer) -> list[psutil.Process]:
    assert server.process is not None
    return standing_by(server.store_url, server.process.pid)


def test_start_takes_the_worker_that_stands_by_and_another_takes_its_place(tmp_path: Path) -> None:
    fill(tmp_path, 100)
    with make_server(tmp_path) as server, server.client() as client:
        assert client.get("tasks").status_code == 200
        assert not ready_workers(server), "nobody watches"
        with opened(client, "stream"):
            (ready,) = until(lambda: ready_workers(server))
            assert client.post("tasks/nightly/start").status_code == 202
            until(lambda: client.get("tasks/nightly/progress").json()["state"] == State.COMPLETED)
            until(lambda: is_gone(ready))  # it has had its run
            (another,) = until(lambda: ready_workers(server))
            assert another.pid != ready.pid
            server.kill()
            until(lambda: is_gone(another))


@pytest.mark.parametrize("wanted", [True, False])
def test_server_that_stops_or_is_told_not_to_has_none(tmp_path: Path, wanted: bool) -> None:
    fill(tmp_path, 100)
    traits = {"SyncmonApp.standby": wanted, "SyncmonApp.heartbeat": 0.2}
    with make_server(tmp_path, traits=traits) as server:
        with server.client() as client, opened(client, "stream") as events:
            if wanted:
                until(lambda: ready_workers(server))
            for _ in range(10):  # for two looks of the server
                events.next("comment")
            assert len(ready_workers(server)) == wanted
        found = ready_workers(server)
        server.stop()
        until(lambda: all(map(is_gone, found)))
