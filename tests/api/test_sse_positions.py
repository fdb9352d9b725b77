"""A stream that comes back goes on from its position, or is reset where that is of no use."""

from __future__ import annotations

import httpx
import pytest

from syncmon_ext.model.state import State
from syncmon_ext.store import log, tasks
from syncmon_ext.store.store import Store
from tests.api.conftest import RunOf
from tests.sse import Reader, at_start, entries, opened, seqs


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
