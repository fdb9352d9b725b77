"""A replaced table of SQLite leaves no row of another one pointing to nothing, and tells of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from syncmon_ext.model.errors import CopyFailed
from syncmon_ext.model.log import Level
from syncmon_ext.model.state import UnitState
from syncmon_ext.store.log import newest_entries
from syncmon_ext.store.store import Store
from tests.sync.copying import Copy, owner
from tests.sync.databases import PARENTS, Database, Maker
from tests.sync.test_hints import outcome

LEFT = r"table parent: 2 rows of child \(up\) would point to rows that are not there any more"


def family(database: Maker) -> tuple[Database, Database]:
    """A source without the parents 3 and 4, to which rows of the target's child point."""
    source, target = database("sqlite"), database("sqlite")
    for db in (source, target):
        db.run(*PARENTS)
    source.insert("parent", [(1,), (2,)])
    target.insert("parent", [(1,), (2,), (3,), (4,)])
    target.insert("child", [(10, 1), (30, 3), (40, 4), (50, None)])
    return source, target


@pytest.mark.parametrize("way", ["rename", "move"])
def test_replace_that_takes_parents_away_fails(database: Maker, way: str) -> None:
    source, target = family(database)
    if way == "move":  # a column that the copy does not fill
        target.run("ALTER TABLE parent ADD COLUMN note TEXT")
    copy = Copy(source, target, tables=["parent"])
    assert copy.units[0].swap == way
    with pytest.raises(CopyFailed, match=LEFT) as caught:
        copy.run()
    assert "list that table in this task" in caught.value.hint
    assert target.query("SELECT count(*) FROM parent") == [(4,)]


def test_small_table_is_no_exception(database: Maker, tmp_path: Path) -> None:
    source, target = family(database)
    (unit,) = outcome(tmp_path, source, target, ["parent"]).units
    assert unit.state is UnitState.FAILED
    assert "2 rows of child (up) would point to rows" in (unit.error or "")


def test_rows_that_pointed_to_nothing_before_are_no_fault_of_the_copy(database: Maker) -> None:
    source, target = family(database)
    target.run("DELETE FROM parent WHERE id > 2")
    Copy(source, target, tables=["parent"]).run()
    assert target.query("SELECT id FROM parent ORDER BY id") == [(1,), (2,)]


def test_merge_and_a_child_that_is_replaced_too_leave_nothing(database: Maker) -> None:
    source, target = family(database)
    Copy(source, target, tables=["parent"], mode="merge").run()
    assert target.query("SELECT count(*) FROM parent") == [(4,)]
    source.insert("child", [(10, 1)])
    copy = Copy(source, target, owner(run="both"), tables=["parent", "child"])
    copy.run()
    assert target.query("SELECT * FROM child") == [(10, 1)]
    assert target.query("PRAGMA foreign_key_check") == []


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"mode": "replace"}, "2 rows copied point to rows that parent lacks"),
        ({"mode": "append"}, "2 rows copied point to rows that parent lacks"),
        ({"mode": "merge"}, "2 rows copied point to rows that parent lacks"),
    ],
)
def test_copied_rows_that_point_to_nothing_are_told(
    database: Maker, spec: dict[str, Any], said: str
) -> None:
    source, target = family(database)
    target.run("DELETE FROM child", "INSERT INTO child VALUES (99, 9)")  # an old one is not counted
    source.insert("child", [(10, 1), (70, 7), (80, 8), (90, None)])
    copy = Copy(source, target, tables=["child"], **spec)
    with copy.claimed():
        copy.copy_all(copy.units[0], 100)
        (result,) = copy.swap(*copy.units)
    assert [warning for warning in result.warnings if said in warning], result.warnings


def test_warning_stands_in_the_log(database: Maker, tmp_path: Path) -> None:
    source, target = family(database)
    source.insert("child", [(70, 7)])
    target.run("DROP TABLE parent")
    progress = outcome(tmp_path, source, target, ["child"])
    assert progress.units[0].state is UnitState.COMPLETED
    store = Store(f"sqlite:///{tmp_path / 'store.db'}")
    with store.read() as connection:
        told = [e.message for e in newest_entries(connection, "hinting", 50, level=Level.WARNING)]
    store.close()
    assert any("1 row copied point" in message for message in told), told
