from __future__ import annotations

from typing import Any

import msgspec
import pytest
from sqlalchemy import update

from syncmon_ext.model.state import State, UnitState
from syncmon_ext.model.task import Task, TaskSpec
from syncmon_ext.services.progress_text import ProgressText, ProgressTexts
from syncmon_ext.store import snapshots, units
from syncmon_ext.store.schema import task_unit_runtimes
from syncmon_ext.store.store import Store
from tests.simulated import SimulatedRun

TABLES = [f"t{number}" for number in range(20)]
NAME = 'all "units":[] of \\"units":[] and [{}]'  # where the units go is not to be found in here


def task_of(run: SimulatedRun) -> Task:
    spec = TaskSpec(source="source", target="target", tables=TABLES)
    return Task(task_id=run.task_id, spec=spec, name=NAME, origin="/test/syncmon.toml")


def read(texts: ProgressTexts, run: SimulatedRun) -> ProgressText:
    with run.store.read() as connection:
        return texts.read(connection, task_of(run))


def expected(run: SimulatedRun) -> bytes:
    """The progress as the store has it, read and encoded in full."""
    with run.store.read() as connection:
        progress = snapshots.run_progress(connection, task_of(run), run.run_id)
    return msgspec.json.encode(progress)


def test_text_is_the_progress_after_every_change(store: Store) -> None:
    run, texts = SimulatedRun(store, "one", TABLES), ProgressTexts()
    changes = [
        lambda: None,
        lambda: run.commit("t7", 70),
        lambda: run.commit("t0", 1),
        lambda: run.write("only an entry"),
        lambda: run.become(State.PAUSED),
        lambda: run.commit("t19", 99),
        lambda: run.become(State.COMPLETED),
    ]
    for change in changes:
        change()
        assert read(texts, run).data == expected(run)
    final = [msgspec.structs.replace(unit, state=UnitState.STOPPED) for unit in run.units.values()]
    with store.write() as connection:
        units.clear_units(connection, run.run_id, final)
    run.become(State.STOPPED)
    assert read(texts, run).data == expected(run)
    second = SimulatedRun(store, "one", TABLES)
    assert read(texts, second).data == expected(second)


@pytest.mark.parametrize("tables", [[], ["only"], TABLES], ids=len)
def test_text_is_the_progress_of_any_number_of_units(store: Store, tables: list[str]) -> None:
    run = SimulatedRun(store, "one", tables)
    assert read(ProgressTexts(), run).data == expected(run)
    with store.write() as connection:  # a worker of an older syncmon left the texts behind
        columns = task_unit_runtimes.c
        connection.execute(
            update(task_unit_runtimes)
            .where(columns.run_id == run.run_id, columns.ordinal % 2 == 0)
            .values(rows_committed=7, revision=99)
        )
    assert read(ProgressTexts(), run).data == expected(run)


def test_only_changed_units_are_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run, texts = SimulatedRun(store, "one", TABLES), ProgressTexts()
    read(texts, run)
    came: list[list[str]] = []
    texts_since = snapshots.unit_texts_since

    def count(*arguments: Any) -> tuple[dict[str, bytes], bool]:
        found = texts_since(*arguments)
        came.append(list(found[0]))
        return found

    monkeypatch.setattr(snapshots, "unit_texts_since", count)
    read(texts, run)
    assert came == []
    run.commit("t0", 1)  # what was in one piece is read once more, to know each
    read(texts, run)
    assert came == [TABLES]
    came.clear()
    run.commit("t3", 30)
    run.commit("t4", 40)
    read(texts, run)
    assert came == [["t3", "t4"]]


def test_changes_are_those_since_the_text_before(store: Store) -> None:
    run, texts = SimulatedRun(store, "one", TABLES), ProgressTexts()
    before = read(texts, run)
    run.commit("t3", 30)
    with store.read() as connection:
        changes = texts.read_changes(connection, task_of(run), before)
    assert changes is not None
    found = msgspec.json.decode(changes.data)
    assert found["units_partial"] is True
    assert [unit["unit_id"] for unit in found["units"]] == ["t3"]
    assert changes.unit_count == before.unit_count == len(TABLES)
    second = SimulatedRun(store, "one", TABLES)
    with store.read() as connection:
        assert texts.read_changes(connection, task_of(second), changes) is None, "all are others"


def test_units_that_are_kept_are_bounded(store: Store) -> None:
    texts = ProgressTexts(most_units=50)
    made = [SimulatedRun(store, f"task-{number}", TABLES) for number in range(5)]
    for run in made:
        read(texts, run)
    assert list(texts._runs) == [made[3].run_id, made[4].run_id]
    assert read(texts, made[0]).data == expected(made[0])
