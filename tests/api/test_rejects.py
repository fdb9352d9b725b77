"""Bad rows over the API: listed, with values only for who may write, and replayed."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api.conftest import make_server
from tests.server import JupyterServer

# Whoever comes may read and execute; to write needs a header that a test sets.
AUTHORIZER = """
from jupyter_server.auth.authorizer import Authorizer

class Reader(Authorizer):
    def is_authorized(self, handler, user, action, resource):
        return action != "write" or "X-May-Write" in handler.request.headers

c.ServerApp.authorizer_class = Reader
"""


@pytest.fixture(scope="module")
def reading_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    folder = tmp_path_factory.mktemp("rejects")
    with make_server(folder, config=AUTHORIZER) as running:
        yield running


def databases(folder: Path) -> tuple[sqlite3.Connection, sqlite3.Connection]:
    source = sqlite3.connect(folder / "source.db", isolation_level=None)
    target = sqlite3.connect(folder / "target.db", isolation_level=None)
    source.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER NOT NULL PRIMARY KEY, v TEXT)")
    source.execute("DELETE FROM t")
    source.execute("INSERT INTO t VALUES (1, 'fine'), (2, 'secret'), (3, 'fine')")
    target.execute("DROP TABLE IF EXISTS t")
    target.execute("CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, v TEXT CHECK (length(v) < 5))")
    return source, target


def ended(client: httpx.Client, task_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        progress: dict[str, Any] = client.get(f"tasks/{task_id}/progress").json()
        if progress["state"] in ("completed", "failed", "stopped"):
            return progress
    raise AssertionError(progress)


def test_rejects_are_listed_and_replayed(reading_server: JupyterServer) -> None:
    source, target = databases(reading_server.folder)
    writer = {"X-May-Write": "yes"}
    spec = {"source": "source", "target": "target", "tables": ["t"], "max_rejects": 5}
    with reading_server.client() as client:
        made = client.post("tasks", json={"task_id": "bad", **spec}, headers=writer)
        assert made.status_code == 201, made.text
        assert client.get("tasks/bad/rejects").json() == {"total": 0, "rejects": []}
        assert client.post("tasks/bad/rejects/replay").status_code == 404
        client.post("tasks/bad/start")
        assert ended(client, "bad")["state"] == "completed"

        seen = client.get("tasks/bad/rejects")
        assert seen.status_code == 200, seen.text
        assert "secret" not in seen.text
        found = seen.json()
        assert found["total"] == 1
        assert found["rejects"][0]["key"] == {"id": 2}
        assert found["rejects"][0]["unit_id"] == "t"
        assert found["rejects"][0]["row"] is None
        full = client.get("tasks/bad/rejects", headers=writer).json()
        assert full["rejects"][0]["row"] == {"id": "2", "v": "secret"}

        answer = client.post("tasks/bad/rejects/replay").json()
        assert answer == {"replayed": 0, "gone": 0, "remaining": 1}
        source.execute("UPDATE t SET v = 'well' WHERE id = 2")
        answer = client.post("tasks/bad/rejects/replay").json()
        assert answer == {"replayed": 1, "gone": 0, "remaining": 0}
        assert client.get("tasks/bad/rejects").json()["total"] == 0
        answer = client.post("tasks/bad/rejects/replay").json()
        assert answer == {"replayed": 0, "gone": 0, "remaining": 0}
        logs = client.get("tasks/bad/logs").json()["logs"]
        assert any("rejects replayed: 1 rows" in entry["message"] for entry in logs)
        nothing = [entry["level"] for entry in logs if "nothing to replay" in entry["message"]]
        assert nothing == ["info"]
    assert target.execute("SELECT v FROM t ORDER BY id").fetchall() == [
        ("fine",),
        ("well",),
        ("fine",),
    ]
    source.close()
    target.close()


def test_rejects_of_a_table_that_the_newest_run_did_not_have_are_replayed(
    reading_server: JupyterServer,
) -> None:
    source, target = databases(reading_server.folder)
    source.execute("CREATE TABLE u (id INTEGER NOT NULL PRIMARY KEY)")
    writer = {"X-May-Write": "yes"}
    spec = {"source": "source", "target": "target", "tables": ["t"], "max_rejects": 5}
    with reading_server.client() as client:
        client.post("tasks", json={"task_id": "changed", **spec}, headers=writer)
        client.post("tasks/changed/start")
        assert ended(client, "changed")["state"] == "completed"
        for tables in (["u"], ["nowhere"]):
            spec["tables"] = tables
            changed = client.put("tasks/changed", json=spec, headers=writer)
            assert changed.status_code == 200, changed.text
            client.post("tasks/changed/start", json={"fresh": True})
            ended(client, "changed")
        assert client.get("tasks/changed/rejects").json()["total"] == 1
        source.execute("UPDATE t SET v = 'well' WHERE id = 2")
        answer = client.post("tasks/changed/rejects/replay").json()
        assert answer == {"replayed": 1, "gone": 0, "remaining": 0}
    assert len(target.execute("SELECT v FROM t").fetchall()) == 3
    source.close()
    target.close()


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "other=1"])
def test_query_is_checked(client: httpx.Client, query: str) -> None:
    assert client.get(f"tasks/nightly/rejects?{query}").status_code == 400


def test_unknown_task_has_no_rejects(client: httpx.Client) -> None:
    assert client.get("tasks/nothing/rejects").status_code == 404
    assert client.post("tasks/nothing/rejects/replay").status_code == 404
