"""A target or a store that is older than the run was: restored, made anew, or cleared by somebody."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from syncmon_ext.model.errors import ConfigChanged
from syncmon_ext.model.progress import Progress
from syncmon_ext.model.state import State, UnitState
from syncmon_ext.model.task import Throttle
from tests.faults.harness import DDL, Rig, rig, side
from tests.faults.test_steer import SLOW

UNKEYED = [
    statement.replace(" PRIMARY KEY", "").replace(", (code, leg)", "") for statement in DDL.values()
]


def paused(it: Rig, rows: int = 300) -> None:
    """The first table is in place, the second is under way; no worker is there."""
    it.control.start("nightly")
    it.until(lambda: it.progress().rows_committed > rows)
    it.control.pause("nightly")
    it.until(lambda: it.progress().state is State.PAUSED)
    it.until_worker_is_gone()


def resumed(it: Rig) -> Progress:
    it.control.start("nightly")
    it.control.set_throttle("nightly", Throttle())
    return it.until_ended()


def ledger(it: Rig) -> list[str]:
    found = it.target.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE '\\_syncmon\\_%' ESCAPE '\\'"
        if it.target.kind == "sqlite"
        else "SELECT '_syncmon.' || tablename FROM pg_tables WHERE schemaname = '_syncmon'"
    )
    return [row[0] for row in found if "_stage_" not in row[0]]


def make_anew(it: Rig) -> None:
    if it.target.kind == "sqlite":
        Path(it.target.url.removeprefix("sqlite:///")).unlink()
    else:
        it.target.execute("DROP SCHEMA _syncmon CASCADE")
        it.target.execute("DROP SCHEMA public CASCADE")
        it.target.execute("CREATE SCHEMA public")


@pytest.mark.parametrize("route", ["sqlite-sqlite", "sqlite-postgresql"])
def test_tables_in_place_are_copied_again_into_a_target_that_was_made_anew(
    route: str, tmp_path: Path
) -> None:
    with rig(tmp_path, route, throttle=SLOW) as it:
        paused(it)
        assert it.progress().completed_tables == 1
        make_anew(it)
        assert resumed(it).state is State.COMPLETED
        it.assert_equal()
        told = [m for m in it.messages() if "the target no longer has all" in m]
        assert {m.partition(":")[0] for m in told} == {"carriers", "flights"}


def test_target_of_an_older_backup_goes_on_from_its_own_checkpoints(tmp_path: Path) -> None:
    with rig(tmp_path, "sqlite-sqlite", throttle=SLOW) as it:
        paused(it)
        backup = shutil.copy(tmp_path / "target.db", tmp_path / "backup.db")
        it.control.start("nightly")
        it.until(lambda: it.progress().rows_committed > 900)
        it.control.pause("nightly")
        it.until(lambda: it.progress().state is State.PAUSED)
        it.until_worker_is_gone()
        shutil.copy(backup, tmp_path / "target.db")
        assert resumed(it).state is State.COMPLETED
        it.assert_equal()
        assert any("flights: resumed" in m for m in it.messages())
        assert not any("begun again" in m for m in it.messages())


def test_staged_rows_without_their_checkpoints_do_not_come_twice(tmp_path: Path) -> None:
    with rig(tmp_path, "sqlite-sqlite", throttle=SLOW) as it:
        for statement in UNKEYED:
            it.target.execute(statement)
        paused(it)
        it.target.execute("DELETE FROM _syncmon_checkpoints")
        assert resumed(it).state is State.COMPLETED
        it.assert_equal()
        assert any("flights: begun again" in m for m in it.messages())


def drop_ledger(it: Rig) -> None:
    for name in ledger(it):
        it.target.execute(f"DROP TABLE {name}")


def drop_checkpoints(it: Rig) -> None:
    it.target.execute("DELETE FROM _syncmon_checkpoints")


@pytest.mark.parametrize("change", [drop_ledger, drop_checkpoints])
def test_direct_rows_without_their_checkpoints_do_not_come_twice(
    change: Callable[[Rig], None], tmp_path: Path
) -> None:
    options = {"throttle": SLOW, "mode": "append", "direct": True}
    with rig(tmp_path, "sqlite-sqlite", **options) as it:
        for statement in UNKEYED:
            it.target.execute(statement)
        paused(it)
        change(it)
        there = it.target.content("flights")
        progress = resumed(it)
        assert progress.state is State.FAILED
        error = {unit.unit_id: unit.error for unit in progress.units}["flights"]
        assert error is not None
        assert "would come a second time" in error
        assert it.target.content("flights") == there


def test_store_of_an_older_backup_does_not_append_a_second_time(tmp_path: Path) -> None:
    with rig(tmp_path, "sqlite-sqlite", throttle=SLOW, mode="append") as it:
        for statement in UNKEYED:
            it.target.execute(statement)
        paused(it, rows=30)
        it.store.close()
        backup = shutil.copy(tmp_path / "store.db", tmp_path / "backup.db")
        it.use_store(f"sqlite:///{tmp_path}/store.db")
        assert resumed(it).state is State.COMPLETED
        it.assert_equal()
        for again in (False, True):  # another run has the table by the second time
            if again:
                it.control.start("nightly", fresh=True)
                assert it.until_ended().state is State.COMPLETED
            it.until_worker_is_gone()
            it.store.close()
            for file in tmp_path.glob("store.db*"):
                file.unlink()
            shutil.copy(backup, tmp_path / "store.db")
            it.use_store(f"sqlite:///{tmp_path}/store.db")
            before = [it.target.content(table) for table in DDL]
            progress = resumed(it)
            assert progress.state is State.PAUSED
            assert [it.target.content(table) for table in DDL] == before
            assert progress.error is not None
            assert "has ended in the target" in progress.error
            with pytest.raises(ConfigChanged, match="has ended in the target"):
                it.control.start("nightly")


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_fresh_start_elsewhere_does_not_need_the_target_that_is_gone(
    kind: str, tmp_path: Path
) -> None:
    with (
        rig(tmp_path, f"sqlite-{kind}", throttle=SLOW) as it,
        side(kind, tmp_path / "other.db") as other,
    ):
        paused(it)
        gone = it.target
        if kind == "sqlite":
            Path(gone.url.removeprefix("sqlite:///")).write_text(
                "this is no database any more " * 99
            )
        else:
            name = gone.url.rpartition("/")[2].partition("?")[0]
            other.execute(f'ALTER DATABASE "{name}" RENAME TO "{name}_gone"')
        file = tmp_path / "syncmon.toml"
        file.write_text(file.read_text().replace(gone.url, other.url))
        it.target = other
        it.use_store(f"sqlite:///{tmp_path}/store.db")
        try:
            it.control.start("nightly", fresh=True)
            it.control.set_throttle("nightly", Throttle())
            assert it.until_ended().state is State.COMPLETED
            it.assert_equal()
            assert any("stays there" in message for message in it.messages())
        finally:
            if kind == "postgresql":
                other.execute(f'ALTER DATABASE "{name}_gone" RENAME TO "{name}"')


@pytest.mark.parametrize("direct", [False, True])
def test_fresh_start_of_an_append_says_which_rows_stay(direct: bool, tmp_path: Path) -> None:
    with rig(tmp_path, "sqlite-sqlite", throttle=SLOW, mode="append", direct=direct) as it:
        for statement in UNKEYED:
            it.target.execute(statement)
        paused(it)
        there = {table: len(it.target.content(table)) for table in DDL}
        it.control.start("nightly", fresh=True)
        it.control.set_throttle("nightly", Throttle())
        assert it.until_ended().state is State.COMPLETED
        told = [m for m in it.messages() if "that the run before had added stay in the table" in m]
        assert told == [
            f"{table}: {rows} rows that the run before had added stay in the table"
            for table, rows in there.items()
            if rows
        ]
        assert len(told) == (2 if direct else 1)


def test_table_that_is_lost_while_the_run_goes_on_is_not_called_completed(tmp_path: Path) -> None:
    with rig(tmp_path, "sqlite-postgresql", throttle={"rows": 200}) as it:
        it.begin(rows=100)
        assert it.progress().completed_tables == 1
        # What a failover does that loses the last transactions.
        it.target.execute("DELETE FROM _syncmon.units WHERE unit_id = 'carriers'")
        it.target.execute("DROP TABLE carriers")
        it.control.set_throttle("nightly", Throttle())
        progress = it.until_ended()
        assert progress.state is State.FAILED
        states = {unit.unit_id: unit.state for unit in progress.units}
        assert [name for name, state in states.items() if state is UnitState.FAILED] == ["carriers"]
        it.control.start("nightly")
        it.finish()
