from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from sqlalchemy import update

from syncmon_ext.model.progress import Progress
from syncmon_ext.model.state import State, UnitState
from syncmon_ext.model.task import Kind, TableSpec, Task, TaskSpec
from syncmon_ext.model.unit import UnitRuntime
from syncmon_ext.store import runs, schema, snapshots, tasks, units
from syncmon_ext.store.store import Store
from tests.store.make import make_run, make_task

NOON = datetime(2013, 6, 1, 12, 0, 0, 123456, tzinfo=UTC)

AIRLINES = UnitRuntime(
    unit_id="airlines",
    table="airlines",
    target_table="carriers",
    state=UnitState.COMPLETED,
    progress=100.0,
    rows_total=2**40,
    rows_total_is_estimate=False,
    rows_committed=2**40,
    bytes_committed=2**50,
    speed=1.5,
    eta_seconds=None,
    chunks_total=3,
    chunks_committed=3,
    attempt=2,
    started_at=NOON,
    finished_at=NOON,
    error=None,
)
PLANES = UnitRuntime(
    unit_id="planes",
    table="planes",
    target_table="planes",
    state=UnitState.FAILED,
    progress=None,
    rows_total=None,
    rows_total_is_estimate=True,
    rows_committed=0,
    bytes_committed=0,
    speed=None,
    eta_seconds=2.25,
    chunks_total=None,
    chunks_committed=0,
    attempt=1,
    started_at=NOON,
    finished_at=None,
    error="it broke",
    hint="mend it",
)
FIGURES = {
    "overall_progress": 12.5,
    "total_tables": 2,
    "completed_tables": 1,
    "failed_tables": 1,
    "current_table": "planes",
    "current_table_progress": 0.5,
    "rows_total": 2**41,
    "rows_total_is_estimate": True,
    "rows_committed": 2**40,
    "bytes_committed": 2**50,
    "speed": 10.5,
    "speed_bytes": 11.5,
    "eta_seconds": 12.5,
    "eta_low_seconds": 13.5,
    "eta_high_seconds": 14.5,
    "elapsed_seconds": 15.5,
    "stalled_seconds": 16.5,
    "waiting_for": "warehouse",
    "consistency": "one snapshot",
    "limited_by": "target",
}


def progress_of(store: Store, task: Task, run_id: str) -> Progress:
    with store.read() as connection:
        progress = snapshots.run_progress(connection, task, run_id)
    assert progress is not None
    return progress


def test_progress_comes_back_as_the_worker_wrote_it(store: Store) -> None:
    task = make_task(store)
    run_id = make_run(store, task)
    with store.write() as connection:
        runs.update_run(connection, run_id, **FIGURES)
        units.save_units(connection, "nightly", run_id, [PLANES, AIRLINES])
    progress = progress_of(store, task, run_id)
    assert progress.units == [AIRLINES, PLANES]
    assert {name: getattr(progress, name) for name in FIGURES} == FIGURES
    assert (progress.task_id, progress.run_id, progress.name) == ("nightly", run_id, "nightly")
    assert (progress.state, progress.units_partial) == (State.RUNNING, False)
    assert (progress.error, progress.hint, progress.finished_at) == (None, None, None)
    assert progress.started_at is not None
    assert progress.updated_at is not None
    assert msgspec.json.decode(msgspec.json.encode(progress), type=Progress) == progress


def test_every_field_of_the_progress_is_covered_by_this_test() -> None:
    known = {"task_id", "run_id", "name", "state", "started_at", "finished_at", "updated_at"}
    known |= {"error", "hint", "kind", "units", "units_partial"}
    assert known | set(FIGURES) == set(Progress.__struct_fields__)


def test_progress_of_a_task_that_never_ran_names_its_tables(store: Store) -> None:
    spec = TaskSpec(
        source="a", target="b", tables=["x", TableSpec(schema="s", name="y", target="z")]
    )
    progress = snapshots.idle_progress(Task(task_id="new", spec=spec, name="New"))
    assert (progress.state, progress.run_id, progress.name) == (State.IDLE, None, "New")
    assert (progress.overall_progress, progress.total_tables) == (None, 2)
    assert [(u.unit_id, u.target_table, u.state) for u in progress.units] == [
        ("x", "x", UnitState.PENDING),
        ("s.y", "z", UnitState.PENDING),
    ]
    loop = snapshots.idle_progress(Task(task_id="loop", kind=Kind.LOOP, name="loop"))
    assert loop.units == []


def test_only_changed_units_are_read_when_asked(store: Store) -> None:
    task = make_task(store)
    run_id = make_run(store, task)
    with store.write() as connection:
        units.save_units(connection, "nightly", run_id, [AIRLINES])
        position = tasks.position(connection, "nightly")
        assert position is not None
        units.save_units(connection, "nightly", run_id, [PLANES])
        later = snapshots.run_progress(connection, task, run_id, changed_since=position.revision)
        none = snapshots.run_progress(connection, task, run_id, with_units=False)
    assert later is not None
    assert (later.units, later.units_partial) == ([PLANES], True)
    assert none is not None
    assert (none.units, none.units_partial) == ([], True)


def texts_and_units(
    store: Store, run_id: str, since: int | None
) -> tuple[list[bytes], list[bytes]]:
    """The units as JSON as they are kept, and as they are encoded from their columns."""
    with store.read() as connection:
        texts, _ = snapshots.unit_texts_since(connection, run_id, since)
        values, _ = snapshots.units_since(connection, run_id, since)
        if since is None:
            whole = b",".join(texts.values())
            assert snapshots.joined_unit_texts(connection, run_id) == (whole, len(texts))
    assert list(texts) == [unit.unit_id for unit in values]
    return list(texts.values()), [msgspec.json.encode(unit) for unit in values]


@pytest.mark.parametrize("since", [None, 1])
def test_units_as_json_are_the_units_whoever_changed_them(store: Store, since: int | None) -> None:
    run_id = make_run(store, make_task(store))
    table = schema.task_unit_runtimes
    own = table.c.run_id == run_id

    def check(at_least: int) -> None:
        texts, encoded = texts_and_units(store, run_id, since)
        assert texts == encoded
        assert len(texts) >= at_least

    check(0)
    with store.write() as connection:
        units.save_units(connection, "nightly", run_id, [AIRLINES])
        units.save_units(connection, "nightly", run_id, [PLANES])
    check(1)
    wrong = msgspec.structs.replace(AIRLINES, error='"Flüge", 🛫 and \\')
    with store.write() as connection:
        units.save_units(connection, "nightly", run_id, [wrong])
    check(1)
    with store.write() as connection:  # a statement over many rows
        units.set_unfinished(connection, "nightly", run_id, UnitState.INTERRUPTED)
    check(1)
    with store.write() as connection:  # a worker of before, which knows of no text
        revision = tasks.bump(connection, "nightly")
        change = update(table).where(own, table.c.unit_id == AIRLINES.unit_id)
        connection.execute(change.values(rows_committed=77, revision=revision))
    check(1)
    assert b'"rows_committed":77' in b"".join(texts_and_units(store, run_id, since)[0])
    with store.write() as connection:  # a run from before the text was kept
        connection.execute(update(table).where(own).values(encoded=None, encoded_revision=None))
    check(1)
    with store.write() as connection:
        units.clear_units(connection, run_id, [AIRLINES, PLANES])
    check(2)


def test_units_that_stop_cleared_are_shown_as_they_were_at_the_end(store: Store) -> None:
    task = make_task(store)
    run_id = make_run(store, task)
    with store.write() as connection:
        units.clear_units(connection, run_id, [AIRLINES, PLANES])
        assert units.units_of_run(connection, run_id) == []
    progress = progress_of(store, task, run_id)
    assert (progress.units, progress.units_partial) == ([AIRLINES, PLANES], False)


def test_run_that_is_not_there_or_anothers_has_no_progress(store: Store) -> None:
    run_id = make_run(store, make_task(store))
    other = make_task(store, "archive")
    with store.read() as connection:
        assert snapshots.run_progress(connection, other, run_id) is None
        assert snapshots.run_progress(connection, other, "gone") is None


def test_start_makes_a_pending_row_for_every_table_in_order(store: Store) -> None:
    spec = TaskSpec(source="a", target="b", tables=[f"table{n}" for n in range(12)])
    task = Task(task_id="wide", spec=spec, name="wide")
    with store.write() as connection:
        tasks.create_task(connection, task)
    run_id = make_run(store, task)
    progress = progress_of(store, task, run_id)
    assert [unit.table for unit in progress.units] == spec.tables
    assert {unit.state for unit in progress.units} == {UnitState.PENDING}
