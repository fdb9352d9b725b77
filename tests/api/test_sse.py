from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from syncmon_ext.model.state import State
from syncmon_ext.store import log, tasks
from syncmon_ext.store.store import Store
from tests.api.conftest import make_server
from tests.server import JupyterServer
from tests.simulated import SimulatedRun
from tests.sse import Event, Reader, entries, opened, seqs

RunOf = Callable[..., SimulatedRun]


def at_start(reader: Reader) -> list[object]:
    """The first progress and the first log event."""
    return [reader.next("progress"), reader.next("log")]


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


def test_end_missed_is_told_at_the_reconnect(client: httpx.Client, run_of: RunOf) -> None:
    run = run_of()
    run.write("one")
    path = f"tasks/{run.task_id}/stream"
    with opened(client, path) as reader:
        at_start(reader)
    run.become(State.COMPLETED)  # without an entry: the position does not change
    with opened(client, path, reader.last_id) as reader:
        events = reader.rest()
    assert [event.name for event in events] == ["progress", "end"]
    assert client.get(path, headers={"Last-Event-ID": reader.last_id or ""}).status_code == 204


def test_paused_task_keeps_its_stream(client: httpx.Client, run_of: RunOf) -> None:
    run = run_of()
    with opened(client, f"tasks/{run.task_id}/stream") as reader:
        at_start(reader)
        run.become(State.PAUSED)
        assert reader.next("progress").data["state"] == "paused"
        run.become(State.RUNNING, "resumed")
        assert reader.next("progress").data["state"] == "running"


def test_restarted_task_is_streamed_again(client: httpx.Client, run_of: RunOf) -> None:
    run = run_of()
    run.write("one")
    path = f"tasks/{run.task_id}/stream"
    run.become(State.COMPLETED, "over")
    with opened(client, path) as reader:
        reader.rest()
    second = run_of(task_id=run.task_id)
    second.write("again")
    with opened(client, path, reader.last_id) as reader:
        assert reader.next("progress").data["run_id"] == second.run_id
        assert seqs([reader.next("log")]) == [3]


def test_unknown_task_is_refused_with_a_body(client: httpx.Client) -> None:
    answer = client.get("tasks/nowhere/stream")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "task_not_found"
    assert client.get("stream", params={"task": "nowhere"}).status_code == 404
    assert client.get("stream", params={"logs": "nowhere"}).status_code == 404


def test_stream_that_comes_back_has_no_gap_and_no_repeat(
    client: httpx.Client, run_of: RunOf
) -> None:
    run = run_of()
    run.write(*(f"line {n}" for n in range(60)))
    path = f"tasks/{run.task_id}/stream"
    with opened(client, path) as reader:
        seen = seqs([reader.next("log")])
    run.write(*(f"more {n}" for n in range(2_500)))
    with opened(client, path, reader.last_id) as reader:
        events = reader.until(lambda found: len(seqs(found)) >= 2_500)
    assert "reset" not in {event.name for event in events}
    assert seen + seqs(events) == list(range(11, 2_561))
    assert all(len(event.data) <= 1_000 for event in events if event.name == "log")


@pytest.mark.parametrize(
    "junk",
    ["junk", "0", "-1", "é", "a" * 10_000, "....", "0123456789abAAAABBBB.AAAAAAAA1", "%00"],
)
def test_junk_position_is_reset(client: httpx.Client, run_of: RunOf, junk: str) -> None:
    run = run_of()
    run.write("one")
    headers = {"Last-Event-ID": junk.encode()}
    with client.stream("GET", f"tasks/{run.task_id}/stream", headers=headers) as response:
        reader = Reader(response)
        events = [reader.next(), reader.next(), reader.next()]
    assert [event.name for event in events] == ["reset", "progress", "log"]
    assert events[0].id == ""
    assert seqs(events) == [1]


def test_positions_that_are_of_no_use_are_reset(
    client: httpx.Client, run_of: RunOf, store: Store
) -> None:
    run = run_of()
    run.write(*(f"line {n}" for n in range(9)))
    path = f"tasks/{run.task_id}/stream"
    with opened(client, path) as reader:
        at_start(reader)
    good = reader.last_id or ""
    of_the_future = f"{good[:-1]}z"
    other_store = f"{'f' * 12}{good[12:]}"
    other_stream = f"{good[:12]}zzzz{good[16:]}"
    run.write(*(f"line {n}" for n in range(10)))
    with store.write() as connection:
        log.trim(connection, run.task_id, 15)
    for position in (of_the_future, other_store, other_stream, good):
        with opened(client, path, position) as reader:
            assert reader.next().name == "reset", position
            assert seqs(at_start(reader)) == [15, 16, 17, 18, 19]  # type: ignore[arg-type]


def test_position_of_a_removed_task_is_reset(
    client: httpx.Client, run_of: RunOf, store: Store
) -> None:
    run = run_of()
    run.write("old one", "old two")
    path = f"tasks/{run.task_id}/stream"
    with opened(client, path) as reader:
        at_start(reader)
    with store.write() as connection:
        tasks.delete_task(connection, run.task_id)
    again = run_of(task_id=run.task_id)
    again.write("new one", "new two", "new three")
    with opened(client, path, reader.last_id) as reader:
        assert reader.next().name == "reset"
        assert entries([reader.next("log")])[0]["message"] == "new one"


def test_stream_of_many_tasks_carries_each(client: httpx.Client, run_of: RunOf) -> None:
    first, second, third = run_of(), run_of(), run_of()
    params = f"stream?task={first.task_id}&task={second.task_id}"
    first.write("f1")
    with opened(client, params) as reader:
        begin = reader.until(
            lambda found: sum(e.name == "progress" for e in found) == 2 and seqs(found) == [1]
        )
        assert {e.data["task_id"] for e in begin if e.name == "progress"} == {
            first.task_id,
            second.task_id,
        }
        third.write("not heard")
        first.write("f2")
        second.write("s1")
        events = reader.until(lambda found: len(seqs(found)) == 2)
    assert {entry["message"] for entry in entries(events)} == {"f2", "s1"}
    first.write("f3")
    second.write("s2", "s3")
    first.become(State.COMPLETED)
    with opened(client, params, reader.last_id) as reader:
        events = reader.until(lambda found: len(seqs(found)) == 3)
        assert {entry["message"] for entry in entries(events)} == {"f3", "s2", "s3"}
        second.become(State.COMPLETED, "still open")
        assert entries([reader.next("log")])[0]["message"] == "still open"


def tells(kind: str, task_id: str) -> Callable[[list[Event]], bool]:
    """Whether it was told, by name or, to a client that had yet to catch up, by no name at all."""

    def told(found: list[Event]) -> bool:
        changes = [event.data for event in found if event.name == "tasks"]
        return any(task_id in change[kind] or not any(change.values()) for change in changes)

    return told


def test_stream_of_all_tasks_tells_of_tasks_that_come_and_go(
    client: httpx.Client, run_of: RunOf, store: Store
) -> None:
    old = run_of()
    old.write("old")
    with opened(client, "stream") as reader:
        reader.until(lambda found: old.task_id in {e["task_id"] for e in entries(found)})
        run = run_of()
        run.write("first", "second")
        # Tasks of other tests go at their own time, and are told of as well.
        reader.until(tells("made", run.task_id))
        events = reader.until(lambda found: len(seqs(found, run.task_id)) == 2)
        assert seqs(events, run.task_id) == [1, 2]
        with store.write() as connection:
            tasks.delete_task(connection, run.task_id)
        reader.until(tells("removed", run.task_id))
    spec = {"source": "source", "target": "target", "tables": ["x"], "task_id": "made-meanwhile"}
    assert client.post("tasks", json=spec).status_code == 201
    try:
        with opened(client, "stream", reader.last_id) as reader:
            assert reader.next().name == "tasks", "it learns of what changed while it was away"
    finally:
        client.delete("tasks/made-meanwhile")


def test_open_stream_tells_that_the_configuration_broke_and_was_mended(tmp_path: Path) -> None:
    with make_server(tmp_path) as server, server.client() as client:
        with opened(client, "stream") as reader:
            reader.next("progress")
            written = tmp_path / "syncmon.toml"
            good = written.read_text()
            written.write_text(good + "[tasks.nightly\n")
            event = reader.next("tasks")
            assert event.data == {"made": [], "changed": [], "removed": []}
            error = client.get("tasks").json()["configuration_error"]
            assert str(written) in error["message"]
            written.write_text(good)
            reader.next("tasks")
            assert client.get("tasks").json()["configuration_error"] is None
            written.write_text(good + "[tasks.nightly\n")
            reader.next("tasks")
        written.write_text(good)
        with opened(client, "stream", reader.last_id) as reader:
            assert reader.next().name == "tasks", "it was mended while the client was away"


def test_stream_whose_log_is_named_by_nothing_carries_all(
    client: httpx.Client, run_of: RunOf
) -> None:
    one, other = run_of(), run_of()
    one.write("first")
    other.write("second")
    with opened(client, f"stream?task={one.task_id}&task={other.task_id}&logs=") as reader:
        assert reader.response.status_code == 200
        reader.until(lambda found: {e["message"] for e in entries(found)} >= {"first", "second"})


def test_log_of_one_task_alone(client: httpx.Client, run_of: RunOf) -> None:
    loud, quiet = run_of(), run_of()
    with opened(client, f"stream?task={quiet.task_id}&logs={loud.task_id}") as reader:
        reader.until(lambda found: {"progress", "log"} <= {e.name for e in found})
        quiet.write("not sent")
        loud.write("sent")
        quiet.commit("t", 5)
        loud.commit("t", 5)
        events = reader.until(
            lambda found: (
                bool(seqs(found))
                and any(e.name == "progress" and e.data["rows_committed"] == 5 for e in found)
            )
        )
    assert [entry["message"] for entry in entries(events)] == ["sent"]
    assert {e.data["task_id"] for e in events if e.name == "progress"} == {quiet.task_id}


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
