"""What a table that the copy makes in PostgreSQL has of the definitions of its source."""

from __future__ import annotations

import pytest

from syncmon_ext.sync import jobs
from tests.sync.copying import Copy
from tests.sync.databases import Database, Maker

# Behind the name of the table, or of the constraint.
INDEXES = {
    "descending": "CREATE INDEX i ON t (a DESC NULLS LAST, b)",
    "nulls first": "CREATE INDEX i ON t (a NULLS FIRST)",
    "collation": 'CREATE INDEX i ON t (b COLLATE "C")',
    "operator class": "CREATE INDEX i ON t (b text_pattern_ops)",
    "including": "CREATE INDEX i ON t (a) INCLUDE (b)",
    "nulls not distinct": "CREATE UNIQUE INDEX i ON t (a, b) NULLS NOT DISTINCT",
    "partial": "CREATE UNIQUE INDEX i ON t (a) WHERE b > 'x'",
    "expression": "CREATE INDEX i ON t (lower(b)) WITH (fillfactor = 60)",
    "brin": "CREATE INDEX i ON t USING brin (a)",
    "odd name": 'CREATE INDEX "i ON ""t" ON t (a)',
    "key with more": "ALTER TABLE t ADD CONSTRAINT k PRIMARY KEY (id) INCLUDE (b) WITH (fillfactor = 70)",
    "unique": "ALTER TABLE t ADD CONSTRAINT k UNIQUE NULLS NOT DISTINCT (a) INCLUDE (b)",
    "deferrable": "ALTER TABLE t ADD CONSTRAINT k UNIQUE (a) WITH (fillfactor = 70) DEFERRABLE",
    "deferred": "ALTER TABLE t ADD CONSTRAINT k PRIMARY KEY (id) DEFERRABLE INITIALLY DEFERRED",
    "exclusion": "ALTER TABLE t ADD CONSTRAINT k EXCLUDE USING gist (r WITH &&) WHERE (a > 0)",
}
_DEFINED = (
    "SELECT c.relname, pg_get_indexdef(c.oid), k.conname, pg_get_constraintdef(k.oid) FROM pg_index i "
    "JOIN pg_class c ON c.oid = i.indexrelid LEFT JOIN pg_constraint k ON k.conindid = c.oid "
    "AND k.conrelid = i.indrelid WHERE i.indrelid = 't'::regclass"
)
_FOREIGN_KEYS = (
    "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'f' ORDER BY 1"
)


def filled(database: Maker, *more: str) -> Database:
    made = database("postgresql")
    made.run("CREATE TABLE t (id int, a int, b text, r int4range)", *more)
    made.insert("t", [(n, n, f"b{n}", f"[{n},{n + 1})") for n in range(30)])
    return made


def carry_out(copy: Copy, *, batched: bool) -> None:
    """Copy ``t`` with others in one transaction, or in chunks of its own."""
    if batched:
        with copy.claimed():
            placed = jobs.batch(copy.source, copy.target, copy.own, copy.units, 100, copy.snapshot)
        assert [unit_id for unit_id, _ in placed.placed] == ["t"]
    else:
        copy.run(7)


@pytest.mark.parametrize("batched", [False, True], ids=["staged", "in a batch"])
@pytest.mark.parametrize("index", INDEXES.values(), ids=INDEXES)
def test_index_is_made_as_the_source_has_it(database: Maker, index: str, batched: bool) -> None:
    source, target = filled(database, index), database("postgresql")
    copy = Copy(source, target, tables=["t"], verify="count")
    assert not [text for text in copy.units[0].warnings if "not made" in text]
    carry_out(copy, batched=batched)
    assert target.query(_DEFINED) == source.query(_DEFINED)
    assert sorted(target.query("SELECT * FROM t")) == sorted(source.query("SELECT * FROM t"))


def test_index_that_the_target_cannot_have_is_named(database: Maker) -> None:
    source = filled(
        database,
        "CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2 * $1'",
        "CREATE INDEX by_twice ON t (twice(a))",
        "CREATE INDEX by_b ON t (b) WHERE a > 0",
    )
    target = database("postgresql")
    (unit,) = Copy(source, target, tables=["t"]).units
    assert "not made in the target: index by_twice, which needs function public.twice(integer)" in (
        unit.warnings
    )
    narrow = Copy(source, target, tables=[{"name": "t", "columns": ["id", "b"]}])
    assert "not made in the target: index by_b, by_twice" in narrow.units[0].warnings
    narrow.run()
    target.run(
        "DROP TABLE t",
        "CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2 * $1'",
    )
    Copy(source, target, tables=["t"]).run()
    assert sorted(target.query(_DEFINED)) == sorted(source.query(_DEFINED))


def test_indexes_of_a_partitioned_table_are_made(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run(
        "CREATE TABLE t (id int, a int, PRIMARY KEY (id) INCLUDE (a)) PARTITION BY RANGE (id)",
        "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (50)",
        "CREATE INDEX by_a ON t (a DESC)",
    )
    source.insert("t", [(n, n) for n in range(20)])
    Copy(source, target, tables=["t"]).run(7)
    made = {row[1] for row in target.query(_DEFINED)}
    assert made == {
        "CREATE UNIQUE INDEX t_pkey ON public.t USING btree (id) INCLUDE (a)",
        "CREATE INDEX by_a ON public.t USING btree (a DESC)",
    }


_CHECKS = (
    "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
    "WHERE contype = 'c' AND conrelid = 't'::regclass ORDER BY 1"
)


@pytest.mark.parametrize("batched", [False, True], ids=["staged", "in a batch"])
def test_checks_are_made_as_the_source_has_them(database: Maker, batched: bool) -> None:
    source = filled(
        database,
        "ALTER TABLE t ADD CONSTRAINT positive CHECK (a >= 0), "
        'ADD CONSTRAINT "odd ""one" CHECK (b <> \'x\' AND a < 1000) NO INHERIT, '
        "ADD CONSTRAINT hoped CHECK (a > 100) NOT ENFORCED",
    )
    source.run("ALTER TABLE t ADD CONSTRAINT late CHECK (a > 10) NOT VALID")
    target = database("postgresql")
    copy = Copy(source, target, tables=["t"], verify="count")
    carry_out(copy, batched=batched)
    assert target.query(_CHECKS) == source.query(_CHECKS)
    assert len(target.query(_CHECKS)) == 4
    with pytest.raises(Exception, match="late"):
        target.run("INSERT INTO t (a) VALUES (-1)")


def test_check_that_old_rows_break_by_now_holds_for_new_ones(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run("CREATE TABLE t (id int PRIMARY KEY, until timestamptz)")
    source.run("INSERT INTO t VALUES (1, now() + '30 years')")
    source.run("ALTER TABLE t ADD CONSTRAINT ahead CHECK (until > now())")
    source.run("CREATE FUNCTION today() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 5'")
    source.run("ALTER TABLE t ADD CONSTRAINT early CHECK (id < today())")
    target.run("CREATE FUNCTION today() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 0'")
    copy = Copy(source, target, tables=["t"], verify="count")
    with copy.claimed():
        alone = jobs.batch(copy.source, copy.target, copy.own, copy.units, 100, copy.snapshot)
        assert (alone.placed, alone.alone) == ([], ["t"])
        (unit,) = copy.units
        copy.copy_all(unit, 10)
        (result,) = copy.swap(unit)
    assert result.warnings == [
        "check early holds for new rows only: rows that were copied break it"
    ]
    assert target.query("SELECT id FROM t") == [(1,)]
    checks = dict(target.query(_CHECKS))
    assert checks["early"] == "CHECK ((id < today())) NOT VALID"
    assert checks["ahead"] == "CHECK ((until > now()))"


def test_checks_that_the_target_cannot_have_are_named(database: Maker) -> None:
    source = filled(
        database,
        "CREATE FUNCTION fine(int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true'",
        "ALTER TABLE t ADD CONSTRAINT judged CHECK (fine(a)), ADD CONSTRAINT paired CHECK (id < 99)",
    )
    (unit,) = Copy(source, database("postgresql"), tables=["t"]).units
    assert "not made in the target: check judged, which needs function public.fine(integer)" in (
        unit.warnings
    )
    narrow = Copy(
        source, database("postgresql"), tables=[{"name": "t", "columns": ["a", "b"]}]
    ).units[0]
    assert "not made in the target: check paired" in narrow.warnings
    (unit,) = Copy(source, database("sqlite"), tables=["t"]).units
    assert "not made in the target: check judged, paired" in unit.warnings
    lite = database("sqlite")
    lite.run("CREATE TABLE t (id INTEGER PRIMARY KEY CHECK (id > 0))")
    (unit,) = Copy(lite, database("postgresql"), tables=["t"]).units
    assert "not made in the target: what CHECK says of its columns" in unit.warnings


def test_generated_columns_stay_virtual_or_stored(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run(
        "CREATE TABLE t (id int PRIMARY KEY, seen int GENERATED ALWAYS AS (id * 2) VIRTUAL, "
        "kept int GENERATED ALWAYS AS (id * 3) STORED)",
        "INSERT INTO t VALUES (1)",
    )
    Copy(source, target, tables=["t"]).run()
    kinds = (
        "SELECT attname, attgenerated::text FROM pg_attribute WHERE attrelid = 't'::regclass "
        "AND attgenerated <> '' ORDER BY 1"
    )
    assert target.query(kinds) == [("kept", "s"), ("seen", "v")]
    assert target.query("SELECT id, seen, kept FROM t") == [(1, 2, 3)]


def test_key_that_rows_are_merged_by_is_checked_at_once(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run(
        "CREATE TABLE t (id int PRIMARY KEY DEFERRABLE, n int NOT NULL UNIQUE)",
        "INSERT INTO t SELECT n, n FROM generate_series(1, 9) n",
    )
    for first in (True, False):
        copy = Copy(source, target, mode="merge", tables=[{"name": "t", "key": ["id"]}])
        said = "t_pkey is made without DEFERRABLE: rows are merged by it"
        assert (said in copy.units[0].warnings) is first
        copy.run()
        source.run("UPDATE t SET n = n + 100 WHERE id = 9")
    assert target.query("SELECT n FROM t WHERE id = 9") == [(109,)]


def test_foreign_keys_are_made_as_the_source_has_them(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run(
        "CREATE TABLE up (id int PRIMARY KEY, v text UNIQUE)",
        "CREATE TABLE t (id int PRIMARY KEY, a int, b text, c int, "
        "CONSTRAINT late FOREIGN KEY (a) REFERENCES up (id) DEFERRABLE INITIALLY DEFERRED, "
        "CONSTRAINT full_one FOREIGN KEY (b) REFERENCES up (v) MATCH FULL DEFERRABLE, "
        "CONSTRAINT pair FOREIGN KEY (c) REFERENCES up ON UPDATE CASCADE ON DELETE SET NULL (c))",
        "INSERT INTO t (id, a) VALUES (1, NULL)",
        "ALTER TABLE t DISABLE TRIGGER ALL",
        "UPDATE t SET c = 77",  # breaks what is declared next
        "ALTER TABLE t ENABLE TRIGGER ALL",
        "ALTER TABLE t DROP CONSTRAINT pair",
        "ALTER TABLE t ADD CONSTRAINT pair FOREIGN KEY (c) REFERENCES up ON UPDATE CASCADE "
        "ON DELETE SET NULL (c) NOT VALID",
    )
    Copy(source, target, tables=["up", "t"]).run()
    assert target.query(_FOREIGN_KEYS) == source.query(_FOREIGN_KEYS)
    assert len(target.query(_FOREIGN_KEYS)) == 3


def test_partition_brings_the_foreign_keys_of_its_parent(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run(
        "CREATE TABLE up (a int PRIMARY KEY) PARTITION BY RANGE (a)",
        "CREATE TABLE up_1 PARTITION OF up FOR VALUES FROM (0) TO (50)",
        "CREATE TABLE up_2 PARTITION OF up FOR VALUES FROM (50) TO (99)",
        "INSERT INTO up SELECT generate_series(0, 98)",
        "CREATE TABLE whole (id int, a int CONSTRAINT to_up REFERENCES up) PARTITION BY RANGE (id)",
        "CREATE TABLE t PARTITION OF whole FOR VALUES FROM (0) TO (100)",
        "INSERT INTO whole SELECT n, n FROM generate_series(0, 90) n",
    )
    Copy(source, target, tables=["up", "t"], verify="count").run(30)
    assert target.query(_FOREIGN_KEYS) == [("to_up", "FOREIGN KEY (a) REFERENCES up(a)")]


def test_foreign_keys_are_made_in_sqlite(database: Maker) -> None:
    source, target = database("postgresql"), database("sqlite")
    source.run(
        "CREATE TABLE up (a int, b int, PRIMARY KEY (a, b))",
        "CREATE TABLE t (id int PRIMARY KEY, a int, b int, c int REFERENCES t ON DELETE CASCADE, "
        "FOREIGN KEY (a, b) REFERENCES up ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED, "
        "FOREIGN KEY (b, a) REFERENCES up MATCH FULL ON DELETE SET NULL (a))",
        "INSERT INTO up VALUES (1, 1)",
        "INSERT INTO t VALUES (1, 1, 1, NULL), (2, 1, 1, 1)",
    )
    copy = Copy(source, target, tables=["t", "up"])
    warnings = next(unit for unit in copy.units if unit.unit_id == "t").warnings
    lost = "MATCH FULL, ON DELETE SET NULL of some columns"
    assert f"foreign key (b, a) to up is made without {lost}" in warnings
    copy.run()
    found = target.query(
        'SELECT "table", "from", "to", on_update, on_delete FROM pragma_foreign_key_list(\'t\') '
        "ORDER BY id DESC, seq"
    )
    assert sorted(found) == [
        ("t", "c", "id", "NO ACTION", "CASCADE"),
        ("up", "a", "a", "CASCADE", "NO ACTION"),
        ("up", "a", "b", "NO ACTION", "NO ACTION"),
        ("up", "b", "a", "NO ACTION", "NO ACTION"),
        ("up", "b", "b", "CASCADE", "NO ACTION"),
    ]
    [(sql,)] = target.query("SELECT sql FROM sqlite_schema WHERE name = 't'")
    assert "DEFERRABLE INITIALLY DEFERRED" in sql
    assert target.query("PRAGMA foreign_key_check") == []


@pytest.mark.parametrize("dialect", ["postgresql", "sqlite"])
def test_foreign_key_to_a_table_outside_the_task_is_named(database: Maker, dialect: str) -> None:
    source, target = database("postgresql"), database(dialect)
    source.run(
        "CREATE TABLE up (id int PRIMARY KEY)",
        "CREATE TABLE t (id int PRIMARY KEY, a int REFERENCES up)",
    )
    [unit] = Copy(source, target, tables=["t"]).units
    assert (
        "not made in the target: foreign key (a) to up, which is not a table of this task"
        in unit.warnings
    )


def test_what_sqlite_has_no_words_for_is_named(database: Maker) -> None:
    source, target = (
        filled(
            database,
            "ALTER TABLE t DROP r, ADD CONSTRAINT k PRIMARY KEY (id) INCLUDE (b), ADD r text",
            "CREATE INDEX by_a ON t (a DESC)",
            "CREATE INDEX by_half ON t (a) WHERE a > 5",
        ),
        database("sqlite"),
    )
    copy = Copy(source, target, tables=["t"])
    warnings = copy.units[0].warnings
    assert "index k is made without INCLUDE" in warnings
    assert "index by_a is made without DESC or NULLS FIRST" in warnings
    assert "not made in the target: index by_half" in warnings
    copy.run()
    assert target.query("SELECT name FROM pragma_table_info('t') WHERE pk") == [("id",)]


@pytest.mark.parametrize(
    ("source", "target", "left"),
    [
        ("sqlite", "postgresql", "b, c"),
        ("postgresql", "sqlite", "a, b, c"),
        ("sqlite", "sqlite", ""),
    ],
)
def test_default_and_expression_that_are_not_made_are_named(
    database: Maker, source: str, target: str, left: str
) -> None:
    made, columns = database(source), ["id", "a", "b", "c", "g"]
    made.run(
        "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, a TEXT DEFAULT 'x', b REAL DEFAULT 1.5, "
        "c TEXT DEFAULT CURRENT_TIMESTAMP, g INTEGER GENERATED ALWAYS AS (id * 2) STORED, "
        "d TEXT DEFAULT NULL)"
    )
    (unit,) = Copy(made, database(target), tables=[{"name": "t", "columns": columns}]).units
    assert "not made in the target: what computes g" in unit.warnings
    told = f"not made in the target: the default of {left}"
    assert [text for text in unit.warnings if "default" in text] == ([told] if left else [])


@pytest.mark.parametrize("target", ["sqlite", "postgresql"])
def test_index_of_another_collation_is_named(database: Maker, target: str) -> None:
    source = database("sqlite")
    source.run(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT COLLATE NOCASE UNIQUE, b TEXT)",
        "CREATE INDEX by_b ON t (b COLLATE RTRIM)",
    )
    tables = [{"name": "t", "columns": ["id", "a", "b"]}]
    if target == "sqlite":
        tables = [{"name": "t", "columns": ["id", "a"]}]
    (unit,) = Copy(source, database(target), tables=tables).units
    assert "index unique (a) is made without COLLATE NOCASE" in unit.warnings
    if target == "postgresql":
        assert "index by_b is made without COLLATE RTRIM" in unit.warnings
