from __future__ import annotations

import multiprocessing
from typing import Any

import pytest

from syncmon_ext.model.connection import Connection, SecretReference
from syncmon_ext.model.run import Lease, Owner
from syncmon_ext.model.state import ACTIVE, State
from syncmon_ext.model.task import Throttle
from syncmon_ext.store import runs
from syncmon_ext.store.store import Store
from tests.store.make import SPEC, make_run, make_task

OWNER = Owner(host="here", boot_id="boot", pid=7, process_started=1234567890.123)
OTHER = Owner(host="there", boot_id="boot", pid=8, process_started=1234567891.5)


def test_run_freezes_what_it_began_with(store: Store) -> None:
    make_task(store)
    source = Connection(name="flights", url="sqlite:////f.db", origin="a file")
    target = Connection(name="w", url="postgresql://u@h/d", password=SecretReference(env="PW"))
    with store.write() as connection:
        runs.create_run(
            connection,
            run_id="r1",
            task_id="nightly",
            spec=SPEC,
            source=source,
            target=target,
            total_tables=2,
            only_units=["planes"],
        )
        frozen = runs.frozen_run(connection, "r1")
        run = runs.run_by_id(connection, "r1")
    assert (frozen.spec, frozen.source, frozen.target) == (SPEC, source, target)
    assert (frozen.plan, frozen.only_units) == (None, ["planes"])
    assert run is not None
    assert (run.state, run.token, run.finished_at) == (State.RUNNING, 0, None)
    assert run.started_at == run.updated_at


def test_lease_is_taken_by_one_and_its_token_grows(store: Store) -> None:
    run_id = make_run(store, make_task(store))
    with store.write() as connection:
        assert runs.lease(connection, run_id) == Lease(
            run_id=run_id, token=0, owner=None, heartbeat=0
        )
        assert runs.acquire(connection, run_id, 0, OWNER)
        assert not runs.acquire(connection, run_id, 0, OTHER)
        assert runs.lease(connection, run_id).owner == OWNER
        assert runs.acquire(connection, run_id, 1, OTHER)
        assert runs.lease(connection, run_id) == Lease(
            run_id=run_id, token=2, owner=OTHER, heartbeat=2
        )


def test_heartbeat_counts_for_the_owner_and_tells_the_loser(store: Store) -> None:
    run_id = make_run(store, make_task(store))
    with store.write() as connection:
        runs.acquire(connection, run_id, 0, OWNER)
        assert runs.holds(connection, run_id, 1) == runs.command(connection, run_id)
        assert runs.command(connection, run_id).state is State.RUNNING
        runs.set_state(connection, run_id, State.PAUSING)
        assert runs.holds(connection, run_id, 1) == runs.command(connection, run_id)
        assert runs.command(connection, run_id).state is State.PAUSING
        assert runs.lease(connection, run_id).heartbeat == 3
        runs.acquire(connection, run_id, 1, OTHER)
        assert runs.holds(connection, run_id, 1) is None
        runs.release(connection, run_id, 1)  # too late: the run is another's
        assert runs.lease(connection, run_id).owner == OTHER
        runs.release(connection, run_id, 2)
        assert runs.lease(connection, run_id).owner is None


def take(url: str, run_id: str, pid: int, ready: Any, answers: Any) -> None:
    store = Store(url)
    ready.wait()
    owner = Owner(host="h", boot_id="b", pid=pid, process_started=0.0)
    with store.write() as connection:
        token = runs.lease(connection, run_id).token
        answers.put((pid, token, runs.acquire(connection, run_id, 0, owner)))
    store.close()


def test_one_of_many_processes_gets_the_lease(store: Store, store_url: str) -> None:
    run_id = make_run(store, make_task(store))
    context = multiprocessing.get_context("spawn")
    ready, answers = context.Barrier(5), context.Queue()
    takers = [
        context.Process(target=take, args=(store_url, run_id, pid, ready, answers))
        for pid in range(5)
    ]
    for taker in takers:
        taker.start()
    won = [pid for pid, _, taken in (answers.get(timeout=180) for _ in takers) if taken]
    for taker in takers:
        taker.join(timeout=90)
    with store.read() as connection:
        lease = runs.lease(connection, run_id)
    assert lease.owner is not None
    assert (won, lease.token) == ([lease.owner.pid], 1)


def test_takeovers_count_until_rows_are_committed_again(store: Store) -> None:
    run_id = make_run(store, make_task(store))
    with store.write() as connection:
        assert [runs.count_takeover(connection, run_id) for _ in range(3)] == [1, 2, 3]
        runs.update_run(connection, run_id, rows_committed=10)
        assert [runs.count_takeover(connection, run_id) for _ in range(2)] == [1, 2]
        runs.update_run(connection, run_id, rows_committed=11)
        assert runs.count_takeover(connection, run_id) == 1
        run = runs.run_by_id(connection, run_id)
    assert run is not None
    assert run.takeovers == 1


@pytest.mark.parametrize("state", [s for s in State if s not in (State.IDLE, State.RUNNING)])
def test_state_that_does_not_run_shows_no_pace(store: Store, state: State) -> None:
    run_id = make_run(store, make_task(store))
    with store.write() as connection:
        runs.update_run(connection, run_id, speed=9.0, eta_seconds=3.0, stalled_seconds=2.0)
        runs.set_state(connection, run_id, state)
        row = connection.exec_driver_sql(
            f"SELECT speed, eta_seconds, stalled_seconds FROM runs WHERE run_id = '{run_id}'"
        ).one()
        assert runs.run_state(connection, run_id) is state
    assert tuple(row) == (None, None, 0.0)


def test_error_stays_until_the_state_changes(store: Store) -> None:
    run_id = make_run(store, make_task(store))
    with store.write() as connection:
        error = ("copy_failed", "table flights: it broke", "mend it")
        runs.set_state(connection, run_id, State.FAILED, error=error, finished=True)
        run = runs.run_by_id(connection, run_id)
        assert run is not None
        assert (run.error, run.hint) == error[1:]
        assert runs.error_code(connection, run_id) == "copy_failed"
        assert run.finished_at is not None
        runs.set_state(connection, run_id, State.RUNNING)
        run = runs.run_by_id(connection, run_id)
        assert run is not None
        assert (run.error, run.hint, run.finished_at) == (None, None, None)
        assert runs.error_code(connection, run_id) is None


def test_supervisor_sees_the_runs_of_all_tasks_in_active_states(store: Store) -> None:
    expected = set()
    for number, state in enumerate(s for s in State if s is not State.IDLE):
        run_id = make_run(store, make_task(store, f"task{number}"), state)
        if state in ACTIVE:
            expected.add((run_id, state))
    with store.read() as connection:
        found = runs.runs_in(connection, ACTIVE)
    assert {(run.run_id, run.state) for run, _ in found} == expected
    assert all(lease.run_id == run.run_id for run, lease in found)


def test_runs_of_a_task_come_newest_first(store: Store) -> None:
    task = make_task(store)
    ids = [make_run(store, task, State.STOPPED) for _ in range(3)]
    make_run(store, make_task(store, "archive"))
    with store.read() as connection:
        assert [r.run_id for r in runs.runs_of_task(connection, "nightly", 10)] == ids[::-1]
        assert [r.run_id for r in runs.runs_of_task(connection, "nightly", 2)] == ids[:0:-1]


def test_throttle_of_a_run_changes(store: Store) -> None:
    run_id = make_run(store, make_task(store))
    with store.write() as connection:
        assert runs.throttle(connection, run_id) is None
        runs.set_throttle(connection, run_id, Throttle(rows=5))
        assert runs.throttle(connection, run_id) == Throttle(rows=5)
        assert runs.command(connection, run_id).throttle == Throttle(rows=5)
        runs.set_throttle(connection, run_id, None)
        assert runs.throttle(connection, run_id) is None


def test_runs_that_left_something_in_the_target_are_remembered(store: Store) -> None:
    task = make_task(store)
    first, second, third = (make_run(store, task, State.STOPPED) for _ in range(3))
    with store.write() as connection:
        for run_id in (first, third):
            runs.set_target_held(connection, run_id, held=True)
        assert runs.runs_to_clear(connection, "nightly", third) == [(first, State.STOPPED, 0)]
        assert {r for r, _ in runs.ended_runs_to_forget(connection)} == {first, third}
        runs.set_target_held(connection, first, held=False)
        assert runs.runs_to_clear(connection, "nightly", second) == [(third, State.STOPPED, 0)]


def test_write_of_a_unit_looks_at_its_row_alone(store: Store) -> None:
    """Of a run with 10,000 tables, each write looked through all: a worker's heartbeat stood still."""
    statement = "UPDATE task_unit_runtimes SET revision = 1 WHERE run_id = 'r' AND unit_id = 'u'"
    with store.read() as connection:
        if store.url.get_backend_name() == "sqlite":
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}").all()
            assert "(run_id=? AND unit_id=?)" in plan[0][-1]
        else:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")  # the table is empty
            plan = connection.exec_driver_sql(f"EXPLAIN {statement}").scalars().all()
            [found] = [line for line in plan if "Index Cond:" in line]
            assert "run_id" in found and "unit_id" in found
