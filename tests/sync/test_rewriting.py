"""A snapshot is given up where the table that it shows is no longer the one that is read."""

from __future__ import annotations

import pytest

from syncmon_ext.model.errors import SnapshotLost
from syncmon_ext.sync import jobs
from syncmon_ext.sync.databases import sessions
from tests.sync.copying import Copy
from tests.sync.databases import Maker

ROWS = 300
KEYED = "CREATE TABLE t (id int PRIMARY KEY, v text)"
KEYLESS = "CREATE TABLE t (id int, v text)"
PARTS = (
    "CREATE TABLE t (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)",
    "CREATE TABLE low PARTITION OF t FOR VALUES FROM (0) TO (150)",
    "CREATE TABLE high PARTITION OF t FOR VALUES FROM (150) TO (1000)",
)
CHILD = (KEYLESS, "CREATE TABLE c () INHERITS (t)", "INSERT INTO c VALUES (1000, 'child')")
CASES = {
    "truncated": ((KEYED,), "TRUNCATE t"),
    "retyped": ((KEYED,), "ALTER TABLE t ALTER id TYPE bigint"),
    "vacuumed": ((KEYLESS,), "VACUUM FULL t"),
    "clustered": ((KEYLESS, "CREATE INDEX i ON t (id DESC)"), "CLUSTER t USING i"),
    "partition gone": (PARTS, "DROP TABLE high"),
    "partition emptied": (PARTS, "TRUNCATE high"),
    "child emptied": (CHILD, "TRUNCATE c"),
    "made anew": ((KEYED,), "DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, v text)"),
}


@pytest.mark.parametrize(("made", "done"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("dialect", ["postgresql", "sqlite"])
def test_table_that_is_rewritten_is_not_read_on(
    database: Maker, dialect: str, made: tuple[str, ...], done: str
) -> None:
    source, target = database("postgresql"), database(dialect)
    source.run(*made)
    source.insert("t", [(n, "x" * 50) for n in range(ROWS)])
    copy = Copy(source, target, tables=["t"])
    (unit,) = copy.units
    with copy.claimed():
        mark = copy.prepare(unit)
        chunks = list(copy.chunks(unit, mark, 100))
        source.run(*done.split("; "))
        with pytest.raises(SnapshotLost, match="emptied, rewritten or dropped while it was read"):
            for chunk in chunks:
                copy.copy(unit, chunk)
        with pytest.raises(SnapshotLost):
            copy.prepare(unit)
        if unit.chunk_method == "key":
            with pytest.raises(SnapshotLost):
                jobs.walk(copy.source, unit, None, mark.upper, [10], copy.snapshot)
    sessions.close_all()


@pytest.mark.parametrize(
    "done", ["DELETE FROM t", "VACUUM t", "ANALYZE t", "ALTER TABLE t ADD w int"]
)
def test_other_changes_leave_the_snapshot(database: Maker, done: str) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run(KEYED)
    source.insert("t", [(n, "x") for n in range(ROWS)])
    copy = Copy(source, target, tables=["t"])
    (unit,) = copy.units
    with copy.claimed():
        mark = copy.prepare(unit)
        chunks = list(copy.chunks(unit, mark, 100))
        source.run(done)
        assert sum(copy.copy(unit, chunk).rows for chunk in chunks) == ROWS
    sessions.close_all()


VIEW = "CREATE VIEW v AS SELECT * FROM t WHERE id >= 0"
VIEWS = {
    "truncated": ((KEYED, VIEW), "v", "TRUNCATE t", "t, which v reads,"),
    "view of a view": (
        (KEYED, VIEW, "CREATE VIEW w AS SELECT v.* FROM v JOIN t USING (id)"),
        "w",
        "VACUUM FULL t",
        "t, which w reads,",
    ),
    "partition": ((*PARTS, VIEW), "v", "TRUNCATE high", "high, which v reads,"),
    "child": ((*CHILD, VIEW), "v", "TRUNCATE c", "c, which v reads,"),
    "view made anew": ((KEYED, VIEW), "v", f"DROP VIEW v; {VIEW}", "v"),
    "kept view refreshed": (
        (KEYED, "CREATE MATERIALIZED VIEW m AS SELECT * FROM t"),
        "m",
        "REFRESH MATERIALIZED VIEW m",
        "m",
    ),
}


@pytest.mark.parametrize(("made", "view", "done", "said"), VIEWS.values(), ids=VIEWS)
def test_view_of_a_table_that_is_rewritten_is_not_read_on(
    database: Maker, made: tuple[str, ...], view: str, done: str, said: str
) -> None:
    source, target = database("postgresql"), database("sqlite")
    source.run(*made)
    source.insert("t", [(n, "x" * 50) for n in range(ROWS)])
    copy = Copy(source, target, tables=[view])
    (unit,) = copy.units
    with copy.claimed():
        mark = copy.prepare(unit)
        chunks = list(copy.chunks(unit, mark, 100))
        source.run(*done.split("; "))
        with pytest.raises(SnapshotLost, match=f"{said} was emptied, rewritten or dropped"):
            for chunk in chunks:
                copy.copy(unit, chunk)
    sessions.close_all()


def test_table_that_a_materialised_view_was_made_from_may_be_emptied(database: Maker) -> None:
    source, target = database("postgresql"), database("sqlite")
    source.run(KEYED)
    source.insert("t", [(n, "x") for n in range(ROWS)])
    source.run("CREATE MATERIALIZED VIEW m AS SELECT * FROM t")
    copy = Copy(source, target, tables=["m"])
    (unit,) = copy.units
    with copy.claimed():
        source.run("TRUNCATE t")
        assert sum(result.rows for result in copy.copy_all(unit, 100)) == ROWS
    sessions.close_all()
