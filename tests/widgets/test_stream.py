"""The stream reader of the Python client; what it reads of the standard's examples: test_sse_vectors."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from syncmon_ext.model.progress import Progress
from syncmon_ext.model.state import State
from syncmon_ext.store.store import Store
from syncmon_widgets import connect
from syncmon_widgets.client import Client
from syncmon_widgets.stream import Event, EventStream, Refused
from tests.api.conftest import make_server
from tests.server import JupyterServer
from tests.simulated import SimulatedRun

SECONDS = 60.0


def seqs(event: Event) -> list[int]:
    return [entry["seq"] for entry in json.loads(event.data)] if event.name == "log" else []


def test_stream_goes_on_over_a_killed_server_and_stops_at_the_end(tmp_path: Path) -> None:
    with make_server(tmp_path) as server, server.client() as http:
        store = Store(server.store_url)
        run = SimulatedRun(store, "one")
        run.write("first")
        stream = EventStream(http, "tasks/one/stream")
        seen: list[int] = []
        names: list[str] = []
        for event in stream.events(SECONDS):
            names.append(event.name)
            before = len(seen)
            seen += seqs(event)
            if before == 0 and seen:
                server.kill()
                run.write("while nobody served")
                server.start()
            elif before < 2 <= len(seen):
                run.write("last")
                run.become(State.COMPLETED)
        store.close()
        assert seen == [1, 2, 3]
        assert names[-1] == "end"
        assert "reset" not in names
        began = time.monotonic()
        again = EventStream(http, "tasks/one/stream", last_event_id=stream.last_event_id)
        assert list(again.events(SECONDS)) == []
        assert time.monotonic() - began < SECONDS / 2, "204 says that nothing more will come"


def test_answer_that_is_no_stream_is_told(server: JupyterServer) -> None:
    with server.client() as http:
        for path, status in (("tasks/nowhere/stream", 404), ("tasks", 200)):
            with pytest.raises(Refused) as caught:
                list(EventStream(http, path).events(SECONDS))
            assert caught.value.status == status


def test_time_that_is_up_ends_a_silent_stream(server: JupyterServer) -> None:
    with server.client() as http:
        began = time.monotonic()
        list(EventStream(http, "tasks/nightly/stream").events(0.5))
        assert time.monotonic() - began >= 0.5


def test_wait_is_told_of_the_end_and_does_not_ask_again_and_again(
    server: JupyterServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    progress = Client.progress

    def counted(self: Client, task_id: str) -> Progress:
        asked.append(time.monotonic())
        return progress(self, task_id)

    monkeypatch.setattr(Client, "progress", counted)
    store = Store(server.store_url)
    run = SimulatedRun(store, "awaited")
    ended: list[float] = []

    def end() -> None:
        ended.append(time.monotonic())
        run.become(State.COMPLETED)

    with connect(server.url, server.token) as session:
        timer = threading.Timer(2.0, end)
        timer.start()
        assert session.task("awaited").wait(timeout=SECONDS) is State.COMPLETED
        timer.join()
    store.close()
    assert len(asked) == 2, "before and after"
    assert asked[1] >= ended[0]


def test_wait_asks_where_nothing_is_told(
    server: JupyterServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: EventStream, seconds: float) -> None:
        raise Refused(503)

    monkeypatch.setattr(EventStream, "events", refused)
    store = Store(server.store_url)
    run = SimulatedRun(store, "asked")
    with connect(server.url, server.token) as session:
        timer = threading.Timer(0.3, run.become, [State.PAUSED])
        timer.start()
        assert session.task("asked").wait(timeout=SECONDS) is State.PAUSED
        timer.join()
        with pytest.raises(TimeoutError):
            SimulatedRun(store, "forever")
            session.task("forever").wait(timeout=0.3)
    store.close()


def test_time_out_of_a_wait_that_is_told_nothing(server: JupyterServer) -> None:
    store = Store(server.store_url)
    SimulatedRun(store, "silent")
    with connect(server.url, server.token) as session, pytest.raises(TimeoutError):
        session.task("silent").wait(timeout=0.5)
    store.close()
