"""A stream of many tasks, named or all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx

from syncmon_ext.model.state import State
from syncmon_ext.store import tasks
from syncmon_ext.store.store import Store
from tests.api.conftest import RunOf, make_server
from tests.sse import Event, entries, opened, seqs


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
