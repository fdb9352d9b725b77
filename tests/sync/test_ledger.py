"""syncmon's own tables in a target that another version of it made."""

from __future__ import annotations

import pytest

from syncmon_ext.model.errors import InvalidConfig
from syncmon_ext.sync import jobs, ledger
from tests.sync.copying import Copy, owner
from tests.sync.databases import Database, Maker, database

__all__ = ["database"]

# What each change of the tables added, the newest first; taken away again, it is what was there before.
ADDED = (
    [
        "ALTER TABLE {rejects} DROP COLUMN row_filter",
        "ALTER TABLE {rejects} DROP COLUMN target_schema",
        "ALTER TABLE {rejects} DROP COLUMN target_table",
        "UPDATE {version} SET version = 3",
    ],
    [
        "ALTER TABLE {checkpoints} DROP COLUMN low_text",
        "ALTER TABLE {checkpoints} DROP COLUMN high_text",
        "ALTER TABLE {rejects} DROP COLUMN row_text",
        "UPDATE {version} SET version = 2",
    ],
    [
        "ALTER TABLE {watermarks} DROP COLUMN target_oid",
        "UPDATE {version} SET version = 1",
    ],
    ["DROP TABLE {version}"],
    ["DROP TABLE {rejects}"],
    ["ALTER TABLE {checkpoints} DROP COLUMN digest"],
    ["DROP TABLE {watermarks}", "ALTER TABLE {units} DROP COLUMN cursor_window"],
)


def names(db: Database) -> dict[str, str]:
    tables = ledger.ledger(db.dialect)
    return {
        name: str(getattr(tables, name).fullname)
        for name in ("fences", "units", "checkpoints", "watermarks", "rejects", "version")
    }


def take_back(target: Database, changes: int) -> None:
    """Make the tables what a syncmon before that many changes would have made."""
    for statements in ADDED[:changes]:
        target.run(*(statement.format(**names(target)) for statement in statements))
    if changes < ADDED.index(["DROP TABLE {rejects}"]) + 1:
        take_back_key(target)


def take_back_key(target: Database) -> None:
    """Make the key of the rejects what it was before version 4, where there was one of a key in all runs."""
    table = names(target)["rejects"]
    if target.dialect == "postgresql":
        key = "PRIMARY KEY (store_id, task_id, unit_id, row_key)"
        target.run(f"ALTER TABLE {table} DROP CONSTRAINT rejects_pkey, ADD {key}")
        return
    made = target.query(f"SELECT sql FROM sqlite_schema WHERE name = '{table}'")[0][0]
    assert "row_key, run_id)" in made
    target.run(
        f"ALTER TABLE {table} RENAME TO older",
        made.replace("row_key, run_id)", "row_key)"),
        f"INSERT INTO {table} SELECT * FROM older",
        "DROP TABLE older",
    )


def half_done(database: Maker, dialect: str) -> tuple[Database, Database, Copy]:
    """A copy whose worker is gone in the middle."""
    source, target = database("sqlite"), database(dialect)
    source.run("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
    source.insert("t", [(n, f"v{n}") for n in range(100)])
    copy = Copy(source, target, tables=["t"], verify="count")
    with copy.claimed():
        unit = copy.units[0]
        chunks = list(copy.chunks(unit, copy.prepare(unit), 30))
        copy.copy(unit, chunks[0])
        copy.copy(unit, chunks[1])
    return source, target, copy


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
@pytest.mark.parametrize("changes", range(1, len(ADDED) + 1))
def test_run_that_an_older_version_left_half_done_goes_on(
    database: Maker, dialect: str, changes: int
) -> None:
    source, target, _ = half_done(database, dialect)
    take_back(target, changes)
    resumed = Copy(source, target, owner(token=2), tables=["t"], verify="count")
    with resumed.claimed():
        unit = resumed.units[0]
        mark = resumed.prepare(unit)
        assert (mark.chunks_committed, sum(chunk.rows or 0 for chunk in mark.committed)) == (2, 60)
        resumed.copy_all(unit, 30)
        resumed.swap(unit)
    jobs.forget(resumed.target, resumed.own, resumed.units)
    assert sorted(target.query("SELECT * FROM t")) == sorted(source.query("SELECT * FROM t"))
    assert target.query(f"SELECT version FROM {names(target)['version']}") == [(ledger.VERSION,)]
    # And what was added since works.
    again = Copy(source, target, owner(run="again"), tables=["t"], mode="merge", max_rejects=1)
    again.run(40)


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_stop_and_doctor_clear_what_an_older_version_left(database: Maker, dialect: str) -> None:
    _, target, copy = half_done(database, dialect)
    take_back(target, len(ADDED))
    assert jobs.rejects(target.connection, "store1", "task", 10).total == 0
    left = jobs.leftovers(target.connection)
    assert [(item.table, item.chunks, item.rows) for item in left] == [("t", 2, 60)]
    jobs.discard(copy.target, copy.own, copy.units)
    assert target.staging() == [] and jobs.leftovers(target.connection) == []


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
@pytest.mark.parametrize("changes", [1, 2])
def test_bad_row_with_a_long_key_that_an_older_version_set_aside_is_replayed(
    database: Maker, dialect: str, changes: int
) -> None:
    source, target = database("sqlite"), database(dialect)
    source.run("CREATE TABLE t (k TEXT NOT NULL PRIMARY KEY, n INTEGER)")
    source.insert("t", [("a" * 900, 1), ("b" * 900, "bad")])
    target.run("CREATE TABLE t (k text, n bigint CHECK (n < 100))")
    copy = Copy(source, target, owner(run="older"), tables=["t"], max_rejects=1)
    copy.run()
    rejects = ledger.ledger(dialect).rejects.fullname
    if changes > 1:
        target.run(f"UPDATE {rejects} SET row_key = row_text")
    take_back(target, changes)
    (reject,) = jobs.rejects(copy.target, "store1", "task", 9).rejects
    assert reject.key == {"k": "b" * 900}
    for value, left in [(500, 1), (5, 0)]:
        source.run(f"UPDATE t SET n = {value} WHERE k LIKE 'b%'")
        jobs.replay(copy.source, copy.target, "store1", "task", copy.units, 60)
        assert jobs.rejects(copy.target, "store1", "task", 9).total == left
    assert sorted(target.query("SELECT * FROM t")) == sorted(source.query("SELECT * FROM t"))


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_tables_of_a_newer_version_are_left_alone(database: Maker, dialect: str) -> None:
    source, target, _ = half_done(database, dialect)
    target.run(f"UPDATE {names(target)['version']} SET version = {ledger.VERSION + 1}")
    newer = Copy(source, target, owner(token=2), tables=["t"])
    with pytest.raises(InvalidConfig, match=f"have version {ledger.VERSION + 1}") as caught:
        jobs.claim(newer.target, newer.own, newer.units)
    assert caught.value.hint == "a newer syncmon writes there: upgrade this one"
