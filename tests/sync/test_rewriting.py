"""A snapshot is given up where the table that it shows is no longer the one that is read."""

from __future__ import annotations

import json

import pytest

from syncmon_ext.model.errors import CopyFailed, SnapshotLost
from syncmon_ext.sync import jobs
from syncmon_ext.sync.databases import sessions
from tests.sync.copying import Copy, owner
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


LEAVES = (
    "CREATE TABLE t (id int PRIMARY KEY, v text, w text) PARTITION BY RANGE (id)",
    "CREATE TABLE low PARTITION OF t FOR VALUES FROM (0) TO (150)",
    "CREATE TABLE high PARTITION OF t FOR VALUES FROM (150) TO (1000)",
    "CREATE TABLE more (id int NOT NULL, v text, w text)",
    "INSERT INTO more SELECT n, 'more', 'more' FROM generate_series(1000, 1100) n",
)
TREE = (
    "CREATE TABLE t (id int PRIMARY KEY, v text, w text)",
    "CREATE TABLE c () INHERITS (t)",
    "INSERT INTO c SELECT n, 'child', 'child' FROM generate_series(1000, 1100) n",
    "CREATE TABLE more (id int NOT NULL, v text, w text)",
    "INSERT INTO more SELECT n, 'more', 'more' FROM generate_series(2000, 2100) n",
)
PLAIN = (TREE[0], *TREE[3:])
NAME, COLUMNS = "its name belongs to another table now", "its columns are others now"
GONE, CAME = "that was part of it is none any more", "became part of it that was there before"
SWAP = "BEGIN; ALTER TABLE t RENAME TO old; ALTER TABLE more RENAME TO t; COMMIT"
OTHERS = {
    "swapped": (PLAIN, SWAP, NAME),
    "swapped for a newer one": (
        PLAIN,
        f"ALTER TABLE more RENAME TO other; CREATE TABLE more AS SELECT * FROM other; {SWAP}",
        NAME,
    ),
    "columns swapped": (
        PLAIN,
        "BEGIN; ALTER TABLE t RENAME v TO x; ALTER TABLE t RENAME w TO v; ALTER TABLE t RENAME x TO w; "
        "COMMIT",
        COLUMNS,
    ),
    "column made anew": (
        PLAIN,
        "ALTER TABLE t DROP w; ALTER TABLE t ADD w text DEFAULT 'new'",
        COLUMNS,
    ),
    "partition detached": (LEAVES, "ALTER TABLE t DETACH PARTITION high", GONE),
    "partition detached aside": (LEAVES, "ALTER TABLE t DETACH PARTITION low CONCURRENTLY", GONE),
    "partition attached": (
        LEAVES,
        "ALTER TABLE t ATTACH PARTITION more FOR VALUES FROM (1000) TO (2000)",
        CAME,
    ),
    "first child": (PLAIN, "ALTER TABLE more INHERIT t", CAME),
    "another child": (TREE, "ALTER TABLE more INHERIT t", CAME),
    "child leaves": (TREE, "ALTER TABLE c NO INHERIT t", GONE),
    "child of a child": (TREE, "ALTER TABLE more INHERIT c", CAME),
}


@pytest.mark.parametrize(("made", "done", "said"), OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("dialect", ["postgresql", "sqlite"])
def test_table_that_is_another_by_now_is_read_again(
    database: Maker, dialect: str, made: tuple[str, ...], done: str, said: str
) -> None:
    source, target = database("postgresql"), database(dialect)
    source.run(*made)
    source.insert("t", [(n, f"v{n}", f"w{n}") for n in range(ROWS)])
    copy = Copy(source, target, tables=["t"])
    (unit,) = copy.units
    with copy.claimed():
        mark = copy.prepare(unit)
        chunks = list(copy.chunks(unit, mark, 100))
        keyed = unit.chunk_method == "key"  # else all of it is one chunk
        if keyed:
            copy.copy(unit, chunks.pop(0))
        source.run(*done.split("; "))
        with pytest.raises(SnapshotLost):
            for chunk in chunks:
                copy.copy(unit, chunk)
        if keyed:
            with pytest.raises(SnapshotLost):
                jobs.walk(copy.source, unit, None, mark.upper, [10], copy.snapshot)
    with copy.claimed():  # in a new snapshot
        mark = copy.prepare(unit)
        assert mark.restarted and mark.committed == [] and said in mark.changed
        assert not copy.prepare(unit).restarted
        for chunk in copy.chunks(unit, mark, 100):
            copy.copy(unit, chunk)
        copy.swap(unit)
    sessions.close_all()
    read = "SELECT id, v, w FROM t ORDER BY id"
    assert target.query(read) == source.query(read)


def test_rows_that_are_in_place_are_no_part_of_another_table(database: Maker) -> None:
    source, target = database("postgresql"), database("sqlite")
    source.run(*PLAIN)
    source.insert("t", [(n, "v", "w") for n in range(ROWS)])
    target.run("CREATE TABLE t (id int PRIMARY KEY, v text, w text)")
    copy = Copy(source, target, tables=["t"], mode="append", direct=True)
    (unit,) = copy.units
    with copy.claimed():
        copy.copy(unit, next(copy.chunks(unit, copy.prepare(unit), 100)))
        source.run(*SWAP.split("; "))
    with copy.claimed(), pytest.raises(CopyFailed, match=f"another by now: {NAME}"):
        copy.prepare(unit)
    sessions.close_all()


HARMLESS = {
    "right": (PLAIN, "GRANT SELECT ON t TO public; GRANT SELECT (v) ON t TO public"),
    "column added": (PLAIN, "ALTER TABLE t ADD x int"),
    "undone": (
        PLAIN,
        "BEGIN; ALTER TABLE more INHERIT t; ALTER TABLE t RENAME v TO x; ROLLBACK",
    ),
    "partition made": (
        LEAVES,
        "CREATE TABLE next PARTITION OF t FOR VALUES FROM (2000) TO (3000); "
        "INSERT INTO t VALUES (2000, 'new', 'new')",
    ),
    "child made": (
        TREE,
        "CREATE TABLE d () INHERITS (t); INSERT INTO d VALUES (2000, 'new', 'new')",
    ),
    "first child made": (PLAIN, "CREATE TABLE d () INHERITS (t); INSERT INTO d VALUES (2000)"),
    "child renamed": (TREE, "ALTER TABLE c RENAME TO d"),
}


@pytest.mark.parametrize(("made", "done"), HARMLESS.values(), ids=HARMLESS)
def test_table_that_stays_the_same_is_read_on(
    database: Maker, made: tuple[str, ...], done: str
) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run(*made)
    source.insert("t", [(n, "v", "w") for n in range(ROWS)])
    read = "SELECT id, v, w FROM t ORDER BY id"
    rows = source.query(read)
    copy = Copy(source, target, tables=["t"])
    (unit,) = copy.units
    with copy.claimed():
        chunks = list(copy.chunks(unit, copy.prepare(unit), 100))
        if unit.chunk_method == "key":
            copy.copy(unit, chunks.pop(0))
        source.run(*done.split("; "))
        copy.copy(unit, chunks.pop(0))
    with copy.claimed():  # the others in a new snapshot
        assert not copy.prepare(unit).restarted
        for chunk in chunks:
            copy.copy(unit, chunk)
        copy.swap(unit)
    sessions.close_all()
    assert target.query(read) == rows


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
    "view replaced": ((KEYED, VIEW), "v", "CREATE OR REPLACE VIEW v AS SELECT * FROM t", "v"),
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
        with pytest.raises(SnapshotLost, match=f"{said} was (emptied|changed)"):
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


def test_source_that_was_set_back_is_told_when_the_rest_is_read(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run(
        "CREATE TABLE items (id bigint PRIMARY KEY)",
        "INSERT INTO items SELECT generate_series(1, 9)",
    )
    copy = Copy(source, target, tables=["items"])
    with copy.claimed():
        unit = copy.units[0]
        copy.copy(unit, next(copy.chunks(unit, copy.prepare(unit), 3)))
    told = []
    for ahead in (
        0,
        10_000,
    ):  # as if the rows had been read so many transactions later than they were
        ((text,),) = target.query("SELECT epoch FROM _syncmon.units")
        known = json.loads(text)
        first, end, between = known["makeup"]["seen"].split(":")
        known["makeup"]["seen"] = f"{first}:{int(end) + ahead}:{between}"
        target.run(f"UPDATE _syncmon.units SET epoch = '{json.dumps(known)}'")
        resumed = Copy(source, target, owner(token=2 + ahead), tables=["items"])
        with resumed.claimed():
            mark = resumed.prepare(unit)
        assert mark.chunks_committed == 1
        told.append([w for w in mark.warnings if "the source is older than it was" in w])
    assert [len(warnings) for warnings in told] == [0, 1]
