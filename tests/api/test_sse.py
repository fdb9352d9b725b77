"""The stream of one task, from its first event to its end."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from syncmon_ext.model.state import State
from syncmon_ext.store.store import Store
from tests.api.conftest import RunOf, make_server
from tests.server import JupyterServer
from tests.simulated import SimulatedRun
from tests.sse import Reader, at_start, entries, opened, seqs


def test_stream_begins_with_progress_and_latest_entries(
    client: httpx.Client, run_of: RunOf
) -> None:
    run = run_of("a", "b")
    run.write(*(f"line {n}" for n in range(1, 71)))
    with opened(client, f"tasks/{run.task_id}/stream") as reader:
        headers = reader.response.headers
        assert headers["content-type"].startswith("text/event-stream")
        assert headers["cache-control"] == "no-cache"
        assert headers["x-accel-buffering"] == "no"
        progress, latest = reader.next(), reader.next()
        assert reader.retry == 1_000
    assert progress.name == "progress"
    assert progress.data["state"] == "running"
    assert [unit["unit_id"] for unit in progress.data["units"]] == ["a", "b"]
    assert latest.name == "log"
    assert seqs([latest]) == list(range(21, 71)), "the latest 50"
    assert set(latest.data[0]) == {"seq", "task_id", "run_id", "time", "level", "unit", "message"}
    assert latest.data[0]["time"].endswith("Z")
    assert latest.id


def test_progress_equals_rest(client: httpx.Client, run_of: RunOf) -> None:
    run = run_of("a")
    with opened(client, f"tasks/{run.task_id}/stream") as reader:
        assert reader.next("progress").data == client.get(f"tasks/{run.task_id}/progress").json()


def test_change_of_state_is_told_at_once(tmp_path: Path) -> None:
    traits = {"SyncmonApp.push_interval": 30}
    with make_server(tmp_path, traits=traits) as server, server.client() as client:
        store = Store(server.store_url)
        run = SimulatedRun(store, "slow")
        with opened(client, "tasks/slow/stream") as reader:
            at_start(reader)
            run.commit("t", 10)  # told within the interval of 30 s, so not before:
            began = time.monotonic()
            run.become(State.PAUSING, "pausing")
            told = reader.next("progress")
            assert told.data["state"] == "pausing"
            assert told.data["rows_committed"] == 10
            assert told.at - began < 0.5
            assert entries([reader.next("log")])[0]["message"] == "pausing"
        store.close()


def test_changes_are_told_no_faster_than_the_interval(client: httpx.Client, run_of: RunOf) -> None:
    run = run_of()
    with opened(client, f"tasks/{run.task_id}/stream") as reader:
        at_start(reader)
        times = []

        def work() -> None:
            for rows in range(1, 41):
                run.commit("t", rows)
                time.sleep(0.02)  # the writer's pace, not a wait

        writer = threading.Thread(target=work)
        writer.start()
        while not times or times[-1].data["rows_committed"] < 40:
            times.append(reader.next("progress"))
        writer.join()
    gaps = [later.at - earlier.at for earlier, later in itertools.pairwise(times)]
    assert len(times) < 12
    assert all(gap > 0.15 for gap in gaps), gaps
    rows = [event.data["rows_committed"] for event in times]
    assert rows == sorted(rows)


@pytest.mark.parametrize("state", [State.COMPLETED, State.FAILED, State.STOPPED])
def test_stream_of_one_task_ends_with_its_run(
    client: httpx.Client, run_of: RunOf, state: State
) -> None:
    run = run_of()
    path = f"tasks/{run.task_id}/stream"
    with opened(client, path) as reader:
        at_start(reader)
        run.write("almost")
        run.become(state, "over")
        events = reader.rest()
    assert events[-1].name == "end"
    assert events[-1].data["state"] == state
    assert entries(events)[-1]["message"] == "over"
    again = client.get(path, headers={"Last-Event-ID": reader.last_id or ""})
    assert again.status_code == 204
    assert again.content == b""
    # A client that has all entries but did not see the end is told of it.
    last_log = [event.id for event in events if event.name == "log"][-1]
    assert client.get(path, headers={"Last-Event-ID": last_log or ""}).status_code == 204


def test_stream_of_an_ended_task_shows_it_and_ends(client: httpx.Client, run_of: RunOf) -> None:
    run = run_of()
    run.write("one", "two")
    run.become(State.COMPLETED)
    with opened(client, f"tasks/{run.task_id}/stream") as reader:
        events = reader.rest()
    assert [event.name for event in events] == ["progress", "log", "end"]
    assert seqs(events) == [1, 2]


def test_paused_task_keeps_its_stream(client: httpx.Client, run_of: RunOf) -> None:
    run = run_of()
    with opened(client, f"tasks/{run.task_id}/stream") as reader:
        at_start(reader)
        run.become(State.PAUSED)
        assert reader.next("progress").data["state"] == "paused"
        run.become(State.RUNNING, "resumed")
        assert reader.next("progress").data["state"] == "running"


def test_unknown_task_is_refused_with_a_body(client: httpx.Client) -> None:
    answer = client.get("tasks/nowhere/stream")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "task_not_found"
    assert client.get("stream", params={"task": "nowhere"}).status_code == 404
    assert client.get("stream", params={"logs": "nowhere"}).status_code == 404


def test_only_changed_units_are_sent_of_many(client: httpx.Client, run_of: RunOf) -> None:
    run = run_of(*(f"t{n}" for n in range(600)))
    with opened(client, f"tasks/{run.task_id}/stream") as reader:
        first = reader.next("progress").data
        assert len(first["units"]) == 600
        assert first["units_partial"] is False
        run.commit("t7", 70)
        second = reader.next("progress").data
        assert second["units_partial"] is True
        assert [unit["unit_id"] for unit in second["units"]] == ["t7"]
        run.commit("t8", 80)
        with opened(client, f"tasks/{run.task_id}/stream") as late:
            whole = late.next("progress").data
            assert len(whole["units"]) == 600
            assert whole["units"][8]["rows_committed"] == 80


def test_silent_stream_sends_comments(tmp_path: Path) -> None:
    with (
        make_server(tmp_path, traits={"SyncmonApp.heartbeat": 0.2}) as server,
        server.client() as client,
        opened(client, "tasks/nightly/stream") as reader,
    ):
        at_start(reader)
        began = time.monotonic()
        for _ in range(5):
            assert next(reader.events).name == "comment"
        assert time.monotonic() - began < 3


def test_streams_end_when_the_server_stops(tmp_path: Path) -> None:
    with (
        make_server(tmp_path) as server,
        server.client() as client,
        opened(client, "stream") as first,
        opened(client, "tasks/nightly/stream") as second,
    ):
        first.next("progress")
        at_start(second)
        ended: list[float] = []
        late = [0.0]

        def read(reader: Reader) -> None:
            reader.rest()  # httpx would complain of a body that is cut off
            ended.append(time.monotonic())

        def sleep() -> None:
            while len(ended) < 2 and time.monotonic() - began < 30:
                before = time.monotonic()
                time.sleep(0.01)
                late.append(time.monotonic() - before - 0.01)

        with ThreadPoolExecutor(3) as pool:
            began = time.monotonic()
            threads = [pool.submit(read, first), pool.submit(read, second), pool.submit(sleep)]
            assert server.stop() < 10
            for thread in threads:
                thread.result()
    assert len(ended) == 2
    assert max(ended) - began < 1 + 2 * sum(late), "a second, and what a busy machine takes"
    assert "Traceback" not in server.log.read_text()


def is_connected(server: JupyterServer, client: socket.socket) -> bool:
    """Whether the server holds its end of a client's connection."""
    assert server.process is not None
    port = client.getsockname()[1]
    connections = psutil.Process(server.process.pid).net_connections("tcp4")
    return any(c.raddr and c.raddr.port == port for c in connections)


def test_client_that_does_not_read_is_closed_and_harms_nobody(tmp_path: Path) -> None:
    with make_server(tmp_path, traits={"SyncmonApp.push_interval": 0.05}) as server:
        store = Store(server.store_url)
        run = SimulatedRun(store, "big")
        with socket.create_connection(("127.0.0.1", server.port)) as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            request = (
                "GET /api/v1/tasks/big/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                f"Authorization: token {server.token}\r\n\r\n"
            )
            deaf.sendall(request.encode())
            stop = threading.Event()

            def write() -> None:
                while not stop.is_set():
                    run.write(*("x" * 8_000 for _ in range(30)))
                    stop.wait(0.2)

            writer = threading.Thread(target=write)
            writer.start()
            began = time.monotonic()
            try:
                with server.client() as client, opened(client, "tasks/big/stream") as reader:
                    longest, before = 0.0, began
                    while is_connected(server, deaf) and time.monotonic() - began < 40:
                        reader.next("log")
                        longest = max(longest, time.monotonic() - before)
                        before = time.monotonic()
                assert longest < 3, "the others are served as ever"
                assert 10 < before - began < 30
            finally:
                stop.set()
                writer.join()
            with pytest.raises(ConnectionResetError):
                while deaf.recv(65_536):
                    pass
        store.close()


def test_http_1_0_client_is_served(server: JupyterServer, run_of: RunOf) -> None:
    run = run_of()
    run.write("one")
    run.become(State.COMPLETED)
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as plain:
        request = (
            f"GET /api/v1/tasks/{run.task_id}/stream HTTP/1.0\r\n"
            f"Authorization: token {server.token}\r\n\r\n"
        )
        plain.sendall(request.encode())
        data = b""
        while piece := plain.recv(65_536):
            data += piece
    body = data.split(b"\r\n\r\n", 1)[1]
    assert body.startswith(b"retry: 1000\n\n")
    assert b"\nevent: end\n" in body
    assert b"\r\n" not in body, "no chunks in HTTP/1.0"
