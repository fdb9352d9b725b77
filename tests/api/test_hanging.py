"""A database that takes the connection and never answers."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.test_openapi import checked
from tests.server import JupyterServer

SECONDS = 1.5
CONFIG = """
[connections.here]
url = "sqlite:///here.db"
[connections.silent]
url = "postgresql://etl@127.0.0.1:{port}/warehouse"
[tasks.hangs]
source = "silent"
target = "here"
tables = ["t"]
"""


@pytest.fixture
def hanging(tmp_path: Path) -> Iterator[JupyterServer]:
    """A server with a connection to a port that listens and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        (tmp_path / "syncmon.toml").write_text(CONFIG.format(port=listener.getsockname()[1]))
        traits = {
            "SyncmonApp.config_file": tmp_path / "syncmon.toml",
            "SyncmonApp.plan_timeout": SECONDS,
            "SyncmonApp.connection_timeout": SECONDS,
        }
        with JupyterServer(tmp_path, traits=traits) as server:
            yield server


def test_silent_database_is_named_in_time_and_holds_nothing_up(hanging: JupyterServer) -> None:
    with hanging.client() as client:
        document = client.get("openapi.json").json()
        for method, path, described in (
            ("POST", "connections/silent/test", "/connections/{name}/test"),
            ("GET", "tasks/hangs/plan", "/tasks/{task_id}/plan"),
        ):
            began = time.monotonic()
            answer = checked(document, client.request(method, path), described)
            assert answer.status_code == 504
            assert time.monotonic() - began < SECONDS + 5
            error = answer.json()["error"]
            assert error["code"] == "database_timeout"
            assert "silent" in error["message"]
            assert error["hint"]
        assert client.get("tasks").status_code == 200
        assert httpx.get(f"{hanging.url}api").status_code == 200
