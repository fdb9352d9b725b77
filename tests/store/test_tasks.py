from __future__ import annotations

import pytest

from syncmon_ext.model.state import State
from syncmon_ext.model.task import Kind, Task, TaskSpec
from syncmon_ext.store import runs, tasks
from syncmon_ext.store.store import Store
from tests.store.make import SPEC, make_run, make_task

FROM_FILE = Task(task_id="nightly", spec=SPEC, name="Nightly", origin="syncmon.toml")


def test_task_is_made_once(store: Store) -> None:
    task = Task(task_id="nightly", spec=SPEC, name="Nightly")
    with store.write() as connection:
        assert tasks.create_task(connection, task)
        assert not tasks.create_task(connection, Task(task_id="nightly", spec=None, name="other"))
        assert tasks.stored_task(connection, "nightly") == task
        assert tasks.stored_tasks(connection) == [task]


def test_task_of_a_file_has_a_row_and_is_not_a_stored_task(store: Store) -> None:
    with store.write() as connection:
        tasks.ensure_task(connection, FROM_FILE)
        tasks.ensure_task(connection, FROM_FILE)
        assert tasks.stored_tasks(connection) == []
        assert tasks.stored_task(connection, "nightly") is None
        assert tasks.row_origin(connection, "nightly") == "syncmon.toml"
        assert tasks.remembered_tasks(connection) == []  # it never ran
    make_run(store, FROM_FILE)
    with store.read() as connection:
        assert tasks.remembered_tasks(connection) == [FROM_FILE]
        assert tasks.remembered_tasks(connection, "nightly") == [FROM_FILE]
        assert tasks.remembered_tasks(connection, "other") == []


def test_row_of_a_file_can_become_a_stored_task(store: Store) -> None:
    other = Task(task_id="nightly", spec=TaskSpec(source="a", target="b", tables=["t"]), name="n")
    with store.write() as connection:
        tasks.ensure_task(connection, FROM_FILE)
        tasks.adopt_task(connection, other)
        assert tasks.stored_task(connection, "nightly") == other


def test_every_change_counts_the_revision_up(store: Store) -> None:
    make_task(store)
    with store.write() as connection:
        start = tasks.bump(connection, "nightly")
        assert tasks.bump(connection, "nightly") == start + 1
        tasks.change_task(connection, "nightly", SPEC, "new name")
        assert tasks.lock_stored_task(connection, "nightly") is not None
        position = tasks.position(connection, "nightly")
        assert tasks.positions(connection) == {"nightly": position}
    assert position is not None
    assert position.revision == start + 3


def test_only_a_stored_task_is_locked(store: Store) -> None:
    with store.write() as connection:
        tasks.ensure_task(connection, FROM_FILE)
        assert tasks.lock_stored_task(connection, "nightly") is None
        assert tasks.lock_stored_task(connection, "nobody") is None


def test_position_tells_the_newest_run_and_its_state(store: Store) -> None:
    task = make_task(store)
    with store.read() as connection:
        assert tasks.position(connection, "nobody") is None
        position = tasks.position(connection, "nightly")
    assert position is not None
    assert (position.run_id, position.state, position.log_seq) == (None, None, 0)
    make_run(store, task, State.STOPPED)
    newest = make_run(store, task)
    with store.read() as connection:
        position = tasks.position(connection, "nightly")
    assert position is not None
    assert (position.run_id, position.state) == (newest, State.RUNNING)


def test_idempotency_key_stands_for_the_first_run_that_it_came_with(store: Store) -> None:
    with store.write() as connection:
        assert tasks.run_of_idempotency_key(connection, "key") is None
        assert tasks.claim_idempotency_key(connection, "key", "a", "r1") == ("a", "r1")
        assert tasks.claim_idempotency_key(connection, "key", "b", "r2") == ("a", "r1")
        assert tasks.claim_idempotency_key(connection, "other", "b", "r2") == ("b", "r2")
    with store.read() as connection:
        assert tasks.run_of_idempotency_key(connection, "key") == ("a", "r1")


def test_removed_task_leaves_nothing(store: Store) -> None:
    task, other = make_task(store), make_task(store, "archive")
    make_run(store, task)
    kept = make_run(store, other)
    with store.write() as connection:
        tasks.claim_idempotency_key(connection, "key", "nightly", "r")
        tasks.delete_task(connection, "nightly")
    with store.read() as connection:
        assert [t.task_id for t in tasks.stored_tasks(connection)] == ["archive"]
        assert tasks.run_of_idempotency_key(connection, "key") is None
        assert [r.run_id for r in runs.runs_of_task(connection, "archive", 9)] == [kept]
        assert runs.runs_of_task(connection, "nightly", 9) == []


@pytest.mark.parametrize("state", [s for s in State if s is not State.IDLE])
@pytest.mark.parametrize("held", [False, True])
def test_run_in_the_way_is_active_or_can_go_on(store: Store, state: State, held: bool) -> None:
    run_id = make_run(store, make_task(store), state)
    with store.write() as connection:
        runs.set_target_held(connection, run_id, held)
        found = tasks.run_in_the_way(connection, "nightly")
    active = {State.RUNNING, State.PAUSING, State.STOPPING, State.INTERRUPTED}
    resumable = {State.PAUSED, State.FAILED}
    assert found is (state if state in active or (held and state in resumable) else None)


def test_loop_is_stored_without_a_spec(store: Store) -> None:
    loop = Task(task_id="cleaning", kind=Kind.LOOP, name="cleaning")
    with store.write() as connection:
        assert tasks.create_task(connection, loop)
        assert tasks.stored_task(connection, "cleaning") == loop
