"""Commands that contradict each other at the same moment: one wins, the others are told so."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from syncmon_ext.model.state import State
from tests.api.conftest import RunOf, make_server
from tests.sse import opened

AT_ONCE = 6


def at_once(client: httpx.Client, *paths: str) -> list[int]:
    """The statuses of requests that are sent together, in order of the paths."""
    with ThreadPoolExecutor(len(paths)) as pool:
        return [answer.status_code for answer in pool.map(client.post, paths)]


def test_one_of_many_pauses_wins(client: httpx.Client, run_of: RunOf) -> None:
    run = run_of()
    found = at_once(client, *[f"tasks/{run.task_id}/pause"] * AT_ONCE)
    assert sorted(found) == [202] + [409] * (AT_ONCE - 1)


def test_many_stops_are_one(client: httpx.Client, run_of: RunOf) -> None:
    run = run_of()
    assert at_once(client, *[f"tasks/{run.task_id}/stop"] * AT_ONCE) == [202] * AT_ONCE
    logs = client.get(f"tasks/{run.task_id}/logs").json()["logs"]
    assert [entry["message"] for entry in logs].count("stop was asked for") == 1


def test_pause_and_stop_at_once_leave_the_stop(client: httpx.Client, run_of: RunOf) -> None:
    for _ in range(5):
        run = run_of()
        pause, stop = at_once(client, f"tasks/{run.task_id}/pause", f"tasks/{run.task_id}/stop")
        assert stop == 202
        assert pause in (202, 409), "a stop may follow a pause, never the other way round"
        assert client.get(f"tasks/{run.task_id}").json()["state"] == State.STOPPING
        run.become(State.STOPPED)


def test_one_of_many_starts_wins_and_the_task_is_copied_once(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "source.db") as source:
        source.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)")
        source.executemany("INSERT INTO t VALUES (?, ?)", [(n, "x") for n in range(2_000)])
    source.close()
    with make_server(tmp_path) as server, server.client() as client:
        spec = {"source": "source", "target": "target", "tables": ["t"], "throttle": {"rows": 500}}
        client.post("tasks", json={"task_id": "slow", **spec}).raise_for_status()
        found = at_once(client, *["tasks/slow/start"] * AT_ONCE)
        assert sorted(found) == [202] + [409] * (AT_ONCE - 1)
        client.patch("tasks/slow/throttle", json={"rows": None}).raise_for_status()
        with opened(client, "tasks/slow/stream", timeout=60) as reader:
            end = reader.rest()[-1]
        assert end.data["state"] == "completed", end.data
        assert len(client.get("tasks/slow/runs").json()["runs"]) == 1


def test_remove_and_start_at_once_leave_no_half_task(client: httpx.Client) -> None:
    spec = {"source": "source", "target": "target", "tables": ["t"]}
    for turn in range(3):
        name = f"contested-{turn}"
        client.post("tasks", json={"task_id": name, **spec}).raise_for_status()
        with ThreadPoolExecutor(2) as pool:
            start = pool.submit(client.post, f"tasks/{name}/start")
            gone = pool.submit(client.delete, f"tasks/{name}")
        statuses = (start.result().status_code, gone.result().status_code)
        assert statuses in {(202, 409), (404, 204), (202, 204)}, statuses
        seen = client.get(f"tasks/{name}").status_code
        assert seen == (404 if statuses[1] == 204 else 200)
