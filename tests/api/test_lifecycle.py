"""What a server tells the world outside: events, metrics, and that it is not idle."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from syncmon_ext.model.state import State
from syncmon_ext.store import runs
from syncmon_ext.store.store import Store
from tests.api.conftest import make_server
from tests.api.slow_copy import SLOW, fill, owner_of
from tests.databases import postgres_database
from tests.receiver import Receiver
from tests.server import JupyterServer
from tests.simulated import SimulatedRun
from tests.sse import opened

SECONDS = 30.0
LISTENING = """
import logging
handler = logging.FileHandler({path!r})
c.EventLogger.handlers = [handler]
"""
# Jupyter looks once a minute whether it is idle.
QUICK_CULLING = """
from jupyter_server.serverapp import ServerApp
from tornado.ioloop import PeriodicCallback
def look_often(app):
    PeriodicCallback(app.shutdown_no_activity, 200).start()
ServerApp.init_shutdown_no_activity = look_often
"""
IDLE_SECONDS = 3  # some looks at the workers long: each counts a run as activity


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)
    return found


def listening(folder: Path, path: Path, **options: Any) -> JupyterServer:
    """A server whose events are written to ``path``, a line each."""
    return make_server(folder, config=LISTENING.format(path=str(path)), **options)


def told(path: Path, task_id: str) -> list[dict[str, Any]]:
    lines = path.read_text().splitlines() if path.exists() else []
    events = [json.loads(line) for line in lines if "syncmon" in line]
    return [event for event in events if event.get("task_id") == task_id]


def actions(path: Path, task_id: str) -> list[str]:
    return [event["action"] for event in told(path, task_id)]


def test_events_of_a_run_are_told_in_order_and_once(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with listening(tmp_path, path) as server, server.client() as client:
        fill(tmp_path, 20_000)
        client.post("tasks", json=SLOW).raise_for_status()
        run_id = client.post("tasks/slow/start").json()["run_id"]
        until(lambda: actions(path, "slow") == ["started"])
        client.post("tasks/slow/pause")
        until(lambda: actions(path, "slow") == ["started", "paused"])
        client.post("tasks/slow/start")
        until(lambda: actions(path, "slow")[2:] == ["started"])
        store = Store(server.store_url)
        owner = until(lambda: owner_of(store, run_id))
        store.close()
        with suppress(ProcessLookupError):
            os.killpg(owner.pid, signal.SIGKILL)
        until(lambda: actions(path, "slow")[3:] == ["interrupted", "started"])
        client.patch("tasks/slow/throttle", json={"rows": None})
        until(lambda: actions(path, "slow")[5:] == ["completed"])
        events = told(path, "slow")
        assert [event["resumed"] for event in events] == [False, False, True, False, True, False]
        assert {event["run_id"] for event in events} == {run_id}
        assert {event["__schema__"] for event in events} == {"urn:syncmon:events:run:v1"}
        assert events[-1]["rows_committed"] == 20_000
        assert events[-1]["completed_tables"] == 1
        looked_at(server)
        assert len(told(path, "slow")) == 6
    assert "Traceback" not in server.log.read_text()


def looked_at(server: JupyterServer) -> None:
    """Wait until the server has looked at its store twice more."""
    with httpx.Client(headers={"Authorization": f"token {server.token}"}) as client:
        before = lag(client, server)
        for _ in range(2):
            until(lambda: lag(client, server) > 0.3)
            until(lambda: lag(client, server) < 0.3)
    assert before >= 0


def lag(client: httpx.Client, server: JupyterServer) -> float:
    return metric(client.get(f"{server.url}metrics").text, "syncmon_lag_seconds")


@pytest.mark.parametrize("end", [State.FAILED, State.STOPPED])
def test_other_ends_are_told(tmp_path: Path, end: State) -> None:
    path = tmp_path / "events.jsonl"
    with listening(tmp_path, path) as server:
        store = Store(server.store_url)
        run = SimulatedRun(store, "simulated")
        until(lambda: actions(path, "simulated") == ["started"])
        run.become(end)
        until(lambda: actions(path, "simulated") == ["started", str(end)])
        store.close()


@pytest.mark.parametrize("given", ["address", "name"])
def test_webhook_of_the_server_is_told_of_every_end(tmp_path: Path, given: str) -> None:
    with Receiver().serving() as receiver:
        url = f"{receiver.url}/every"
        trait = {"SyncmonApp.on_finish": url if given == "address" else "ops"}
        server = make_server(tmp_path, traits=trait)
        config = tmp_path / "syncmon.toml"
        config.write_text(f'{config.read_text()}[webhooks.ops]\nurl = "{url}"\n')
        fill(tmp_path, 20_000)
        with server, server.client() as client:
            client.post("tasks", json=SLOW).raise_for_status()
            ends = {"nightly": "completed", "slow": "stopped"}
            for task_id in ends:
                client.post(f"tasks/{task_id}/start").raise_for_status()
            client.post("tasks/slow/stop").raise_for_status()
            until(lambda: len(receiver.told) == len(ends))
            run_ids = {client.get(f"tasks/{task_id}/progress").json()["run_id"] for task_id in ends}
    assert {path for path, _, _ in receiver.told} == {"/every"}
    assert {body["task_id"]: body["state"] for body in receiver.bodies()} == ends
    assert {body["run_id"] for body in receiver.bodies()} == run_ids


def test_two_servers_tell_each_change_once_and_a_late_one_tells_what_it_missed(
    tmp_path: Path,
) -> None:
    paths = [tmp_path / f"events-{number}.jsonl" for number in range(2)]
    url = f"sqlite:///{tmp_path / 'store.db'}"
    store = Store(url)
    early = SimulatedRun(store, "early")
    early.become(State.COMPLETED)  # nobody looked on
    servers = [
        listening(tmp_path / f"home-{number}", path, env={"SYNCMON_STORE": url})
        for number, path in enumerate(paths)
    ]

    def both(task_id: str) -> list[str]:
        return [action for path in paths for action in actions(path, task_id)]

    with servers[0], servers[1]:
        until(lambda: both("early"))
        many = [SimulatedRun(store, f"task-{number}") for number in range(20)]
        until(lambda: all(both(run.task_id) for run in many))
        for run in many:
            run.become(State.COMPLETED)
        until(lambda: all(len(both(run.task_id)) >= 2 for run in many))
        for server in servers:
            looked_at(server)
        assert both("early") == ["started", "completed"]
        for run in many:
            assert sorted(both(run.task_id)) == ["completed", "started"]
    store.close()


def metric(text: str, name: str, **labels: str) -> float:
    wanted = ",".join(f'{key}="{value}"' for key, value in labels.items())
    full = f"{name}{{{wanted}}}" if wanted else name
    found = re.search(rf"^{re.escape(full)} (\S+)$", text, re.MULTILINE)
    assert found, f"{full} is not in:\n{text}"
    return float(found[1])


def test_metrics_stand_among_jupyters_own(tmp_path: Path) -> None:
    with make_server(tmp_path) as server, server.client() as client:
        store = Store(server.store_url)
        run = SimulatedRun(store, "measured")
        address = f"{server.url}metrics"

        def now(name: str, **labels: str) -> float:
            return metric(client.get(address).text, name, **labels)

        until(lambda: now("syncmon_runs", state="running") == 1)
        before = now("syncmon_rows_committed_total")
        run.commit("t", 40)
        until(lambda: now("syncmon_rows_committed_total") == before + 40)
        assert now("syncmon_stream_clients") == 0
        with opened(client, "tasks/measured/stream") as reader:
            reader.next("progress")
            assert now("syncmon_stream_clients") == 1
        run.commit("t", 100)
        run.become(State.COMPLETED)
        until(lambda: now("syncmon_runs", state="completed") == 1)
        assert now("syncmon_rows_committed_total") == before + 100
        assert now("syncmon_runs", state="running") == 0
        assert now("syncmon_lag_seconds") < 5
        with store.write() as connection:
            runs.update_run(connection, run.run_id, bytes_committed=7_000)
        until(lambda: now("syncmon_bytes_committed_total") == 7_000)
        assert 0 < now("syncmon_loop_longest_hold_seconds") < SECONDS
        assert now("syncmon_loop_holds_total", cause="syncmon") >= 0
        assert "http_request_duration_seconds" in client.get(address).text
        assert httpx.get(address).status_code == 403
        store.close()


def test_metrics_count_runs_that_are_over_before_anybody_looks(tmp_path: Path) -> None:
    with make_server(tmp_path) as server, server.client() as client:
        fill(tmp_path, 500)
        for number in range(6):
            client.post("tasks/nightly/start").raise_for_status()
            with opened(client, "tasks/nightly/stream", timeout=SECONDS) as reader:
                assert reader.rest()[-1].name == "end", number
        address = f"{server.url}metrics"

        def now(name: str) -> float:
            return metric(client.get(address).text, name)

        until(lambda: now("syncmon_rows_committed_total") == 6 * 500)
        looked_at(server)
        assert now("syncmon_rows_committed_total") == 6 * 500


@pytest.mark.parametrize("held", [False, True])
def test_run_holds_off_culling_where_that_is_wanted(tmp_path: Path, held: bool) -> None:
    traits = {"SyncmonApp.hold_off_culling": held}
    with (
        # A SQLite store at rest is not looked at; here each second has a look, which is no activity.
        postgres_database() as url,
        make_server(tmp_path, traits=traits, env={"SYNCMON_STORE": url}) as server,
        server.client() as client,
        closing(Store(url)) as store,
    ):
        run = SimulatedRun(store, "busy")

        def last_activity() -> str:
            # Asking for the status is no activity itself.
            path = f"{server.url}api/status?no_track_activity=1"
            return str(client.get(path).json()["last_activity"])

        looked_at(server)
        first = last_activity()
        looked_at(server)
        assert (last_activity() > first) is held
        run.become(State.COMPLETED)
        looked_at(server)
        rest = last_activity()
        looked_at(server)
        assert last_activity() == rest


@pytest.mark.parametrize("held", [False, True])
def test_idle_server_stays_for_a_run_where_that_is_wanted(tmp_path: Path, held: bool) -> None:
    traits = {
        "SyncmonApp.hold_off_culling": held,
        "ServerApp.shutdown_no_activity_timeout": IDLE_SECONDS,
    }
    fill(tmp_path, 20_000)
    with (
        make_server(tmp_path, traits=traits, config=QUICK_CULLING) as server,
        server.client() as client,
        closing(Store(server.store_url)) as store,
    ):
        client.post("tasks", json=SLOW).raise_for_status()
        run_id = client.post("tasks/slow/start").raise_for_status().json()["run_id"]
        asked_at = time.monotonic()
        process = server.process
        assert process is not None

        def has_left() -> bool:
            return process.poll() is not None

        def state() -> State:
            with store.read() as connection:
                run = runs.run_by_id(connection, run_id)
            assert run is not None
            return run.state

        until(lambda: has_left() or time.monotonic() > asked_at + 2 * IDLE_SECONDS)
        assert state() is State.RUNNING
        assert has_left() is not held
        with store.write() as connection:
            runs.set_throttle(connection, run_id, None)  # by the server it would be activity
        until(lambda: state() is State.COMPLETED)
        until(has_left)
        assert process.returncode == 0
    assert "shutting down" in server.log.read_text()
