"""Values survive exactly, or the copy says which one does not."""

from __future__ import annotations

import math
from typing import Any

import pytest

from syncmon_ext.model.errors import CopyFailed, LossyCopy
from syncmon_ext.sync import storage_checks
from tests.sync.copying import Copy, errors, owner
from tests.sync.databases import Database, Maker

# One column per type, with the forms that converters are known to damage; NULL is always added.
POSTGRES: dict[str, list[str]] = {
    "smallint": ["-32768", "32767"],
    "integer": ["-2147483648", "0"],
    "bigint": ["-9223372036854775808", "9223372036854775807"],
    "numeric": ["NaN", "Infinity", "-Infinity", "1e-30", "1.500", "0", "-0.00", "9" * 200],
    "numeric(38,10)": ["1234567890123456789012345678.0123456789", "0.0000000001"],
    "real": ["0.1", "3.4028235e38", "1e-45"],
    "double precision": ["0.1", "1.7976931348623157e308", "5e-324", "-0", "Infinity", "-Infinity"],
    "boolean": ["true", "false"],
    "text": [
        "",
        "NULL",
        r"\N",
        "tab\there",
        "line\nbreak\r",
        r"back\slash\t",
        "'\"",
        "🙂é",
        " x ",
        "007",
    ],
    "character varying(5)": ["", "ab  "],
    "character(5)": ["ab", ""],
    "bytea": ["", r"\x00", r"\x5c4e", r"\xff0a09"],
    "date": [
        "infinity",
        "-infinity",
        "4713-01-01 BC",
        "0044-03-15 BC",
        "9999-12-31",
        "294276-01-01",
    ],
    "timestamp without time zone": [
        "infinity",
        "0044-03-15 12:00:00.000001 BC",
        "2013-01-01 05:00:00.123456",
    ],
    "timestamp with time zone": [
        "-infinity",
        "2013-07-01 05:00:00.1+05:30",
        "0001-01-01 00:00:00+00 BC",
    ],
    "timestamp(3) without time zone": ["2013-01-01 05:00:00.123"],
    "time without time zone": ["24:00:00", "00:00:00.000001"],
    "time with time zone": ["12:00:00+15:59", "23:59:59.999999-11"],
    "interval": [
        "1 year 2 mons -3 days 04:05:06.789",
        "-1 days +02:03:00",
        "-178000000 years",
        "0",
    ],
    "uuid": ["00000000-0000-0000-0000-000000000000", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"],
    "json": ['{"b": 1,  "a": 2, "a": 3}', '"\\u00e9"', "null"],
    "jsonb": ['{"b": 1.10, "a": [null, "x"]}', "1e3"],
    "text[]": ['{NULL,"NULL","",",","\\"","{}"}', "{}", "[2:3]={a,b}", "{{a,b},{c,d}}"],
    "integer[]": ["{1,NULL,3}", "{}"],
    "timestamp with time zone[]": ['{infinity,"2013-01-01 00:00:00.5+00"}'],
    "inet": ["10.0.0.1/8", "::1"],
    "cidr": ["10.0.0.0/8"],
    "macaddr": ["08:00:2b:01:02:03"],
    "bit(4)": ["1010"],
    "bit varying": ["", "10101"],
    "money": ["-12.34"],
    "int4range": ["[1,5)", "empty", "(,)"],
    "point": ["(0.1,1e-30)"],
    "tsvector": ["'a':1A 'b c':2"],
    "oid": ["4294967295"],
    "name": ["some name"],
    "mood": ["so-so", "it's"],
    "pair": ['(1,"a,\\"b")', "(,)"],
    "small": ["7"],
    "mood[]": ["{so-so,NULL}"],
}
TYPES = (
    "CREATE TYPE mood AS ENUM ('so-so', 'it''s')",
    "CREATE TYPE pair AS (a integer, b text)",
    "CREATE DOMAIN small AS integer CHECK (VALUE < 100)",
)


def postgres_table(db: Database) -> None:
    db.run(*TYPES)
    columns = ", ".join(f"c{n} {kind}" for n, kind in enumerate(POSTGRES))
    db.run(f"CREATE TABLE hostile (id integer PRIMARY KEY, {columns})")
    longest = max(map(len, POSTGRES.values()))
    rows = [
        (n, *(values[n] if n < len(values) else None for values in POSTGRES.values()))
        for n in range(longest + 1)
    ]
    db.insert("hostile", rows)


def texts(db: Database) -> list[tuple[Any, ...]]:
    """Every value as PostgreSQL itself writes it; floats with all their digits."""
    columns = ", ".join(f"c{n}::text" for n in range(len(POSTGRES)))
    return db.query(f"SELECT id, {columns} FROM hostile ORDER BY id")


def test_postgresql_to_postgresql_keeps_every_value(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    postgres_table(source)
    target.run(*TYPES)
    Copy(source, target, tables=["hostile"]).run(3)
    assert texts(target) == texts(source)
    kinds = (
        "SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute "
        "WHERE attrelid = 'hostile'::regclass AND attnum > 0 ORDER BY attnum"
    )
    assert target.query(kinds) == source.query(kinds)


def test_types_that_the_target_lacks_are_named_before_a_row_moves(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    postgres_table(source)
    errors = Copy(source, target, tables=["hostile"]).units[0].errors
    assert any("mood" in error and "type" in error for error in errors)


def test_round_trip_through_sqlite_comes_back_unchanged(database: Maker) -> None:
    source, middle, back = database("postgresql"), database("sqlite"), database("postgresql")
    postgres_table(source)
    back.run(*TYPES)
    columns = ", ".join(f"c{n} {kind}" for n, kind in enumerate(POSTGRES))
    back.run(f"CREATE TABLE hostile (id integer PRIMARY KEY, {columns})")
    there = Copy(source, middle, tables=["hostile"])
    assert [c.name for c in there.units[0].columns if c.lossy] == []
    there.run(3)
    returning = Copy(
        middle,
        back,
        tables=["hostile"],
        allow_lossy=[f"c{n}" for n in range(len(POSTGRES))],  # texts that PostgreSQL reads back
    )
    returning.run(3)
    assert texts(back) == texts(source)


@pytest.mark.parametrize("value", ["NaN", "-0"])
def test_float_that_sqlite_cannot_store_stops_the_copy(database: Maker, value: str) -> None:
    source, target = database("postgresql"), database("sqlite")
    source.run(
        "CREATE TABLE t (id int PRIMARY KEY, v float8)", f"INSERT INTO t VALUES (1, '{value}')"
    )
    target.run("CREATE TABLE t (id INTEGER PRIMARY KEY, v REAL)")
    with pytest.raises(CopyFailed, match=f"column v holds {value}"):
        Copy(source, target, tables=["t"]).run()


SQLITE_VALUES: list[Any] = [
    None, 0, 1, -1, 2**63 - 1, -(2**63), 0.1, -0.0, 1.0, 5e-324, math.inf, -math.inf,
    "", "text", "007", "1e3", "NULL", "\t\n\\", "🙂", "nul\0in", b"", b"\0\xff", b"text",
]  # fmt: skip


def test_sqlite_to_sqlite_keeps_every_value_in_every_column(database: Maker) -> None:
    source, target = database("sqlite"), database("sqlite")
    kinds = ["INTEGER", "REAL", "TEXT", "BLOB", "NUMERIC", "DATETIME", "BOOLEAN", ""]
    columns = ", ".join(f"c{n} {kind}" for n, kind in enumerate(kinds))
    source.run(f"CREATE TABLE t (id INTEGER PRIMARY KEY, {columns}, g AS (c0 + 1) STORED)")
    marks = ", ".join("?" * (len(kinds) + 1))
    import sqlite3

    db = sqlite3.connect(source.path)
    with db:
        db.executemany(
            f"INSERT INTO t VALUES ({marks})",
            [(n, *[value] * len(kinds)) for n, value in enumerate(SQLITE_VALUES)],
        )
    db.close()
    seen = "SELECT id, g, " + ", ".join(
        f"typeof(c{n}), quote(c{n}), hex(c{n})" for n in range(len(kinds))
    )
    Copy(source, target, tables=["t"]).run(4)
    assert target.query(f"{seen} FROM t") == source.query(f"{seen} FROM t")
    Copy(source, target, owner(run="again"), tables=["t"]).run(4)
    assert target.query(f"{seen} FROM t") == source.query(f"{seen} FROM t")


@pytest.mark.parametrize(
    ("declared", "good", "bad"),
    [
        ("INTEGER", 5, "five"),
        ("INTEGER", -(2**63), 1.5),
        ("REAL", 0.1, "x"),
        ("TEXT", "5", b"5"),
        ("BLOB", b"\0", "text"),
        ("BOOLEAN", 1, 2),
        ("DATETIME", "2013-01-01 05:00:00", 5),
        ("VARCHAR(3)", "longer than three", b"x"),
    ],
)
def test_sqlite_value_of_another_kind_stops_the_copy(
    database: Maker, declared: str, good: Any, bad: Any
) -> None:
    source, target = database("sqlite"), database("postgresql")
    source.run(f"CREATE TABLE t (id INTEGER PRIMARY KEY, v {declared})")
    # The bad one is out of reach of the sample that the plan takes.
    source.insert("t", [(n, good) for n in range(1200)] + [(5000, bad)])
    source.insert("t", [(n, good) for n in range(6000, 7200)])
    copy = Copy(source, target, tables=["t"])
    with copy.claimed(), pytest.raises(CopyFailed) as failed:
        copy.copy_all(copy.units[0], 500)
    for part in ("table t", "column v", storage_checks.described(bad), "id = 5000"):
        assert part in failed.value.message
    source.run("DELETE FROM t WHERE id = 5000")
    Copy(source, target, owner(token=2), tables=["t"]).run(500)
    got = target.query("SELECT v FROM t LIMIT 1")[0][0]
    assert got == good and type(got) is (bool if declared == "BOOLEAN" else type(good))


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("numeric(6,2)", 1.25, 1.255),
        ("character varying(3)", "abc", "ab   "),
        ("character(3)", "abc", "ab"),
        ("date", "2013-02-28", "28.02.2013"),
        ("timestamp", "2013-02-28 01:02:03.5", "2013-02-28 01:02:03.1234567"),
        ("timestamptz", "2013-02-28 01:02:03+02", "2013-02-28 01:02:03"),
        ("uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"),
        ("smallint", 32767, "1"),
        ("boolean", 0, -1),
    ],
)
def test_value_that_an_existing_column_would_change_stops_the_copy(
    database: Maker, kind: str, good: Any, bad: Any
) -> None:
    source, target = database("sqlite"), database("postgresql")
    source.run("CREATE TABLE t (id INTEGER PRIMARY KEY, v)")
    source.insert("t", [(1, good)])
    target.run(f"CREATE TABLE t (id bigint PRIMARY KEY, v {kind})")
    Copy(source, target, tables=["t"]).run()
    assert target.query("SELECT count(v) FROM t") == [(1,)]
    source.insert("t", [(2, bad)])
    with pytest.raises(CopyFailed, match="column v"):
        Copy(source, target, owner(run="second"), tables=["t"]).run()
    assert target.query("SELECT count(v) FROM t") == [(1,)]


@pytest.mark.parametrize(
    ("source", "made", "target", "into"),
    [
        ("postgresql", "numeric", "sqlite", "NUMERIC"),
        ("postgresql", "text", "sqlite", "INTEGER"),
        ("postgresql", "bigint", "postgresql", "integer"),
        ("postgresql", "numeric", "postgresql", "numeric(10,2)"),
        ("postgresql", "double precision", "postgresql", "real"),
        ("sqlite", "TEXT", "sqlite", "INTEGER"),
        ("sqlite", "TEXT", "postgresql", "jsonb"),
    ],
)
def test_lossy_column_is_named_and_refused_unless_allowed(
    database: Maker, source: str, made: str, target: str, into: str
) -> None:
    a, b = database(source), database(target)
    a.run(f"CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, v {made})")
    b.run(f"CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, v {into})")
    copy = Copy(a, b, tables=["t"])
    column = copy.units[0].columns[1]
    assert column.lossy and column.reason
    with copy.claimed(), pytest.raises(LossyCopy, match=r"column v.*allow_lossy"):
        copy.prepare(copy.units[0])
    allowed = Copy(a, b, owner(token=2), tables=["t"], allow_lossy=["t.v"])
    assert allowed.units[0].errors == []
    allowed.run()


def test_large_values_pass(database: Maker) -> None:
    source, target, third = database("sqlite"), database("postgresql"), database("sqlite")
    source.run("CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB, w TEXT)")
    rows = [(n, bytes([n]) * 20_000_000, "é" * 1_000_000) for n in range(3)]
    source.insert("t", rows)
    Copy(source, target, tables=["t"]).run()
    Copy(target, third, tables=["t"]).run()
    assert third.query("SELECT * FROM t ORDER BY id") == rows


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("numeric(5,-2)", 12_345),
        ("numeric", "007"),
        ("numeric", "1e2"),
        ("numeric", " 12 "),
        ("numeric(6,2)", "01.5"),
        ("numeric", -0.0),
        ("numeric(6,2)", -0.0),
        ("numeric", "-0"),
        ("numeric(6,2)", "-0.00"),
        ("numeric(38,2)", "12345678901234567890123456789.129"),
        ("numeric(38,-2)", "12345678901234567890123456789012345678"),
        ("timestamp", "2016-12-31 23:59:60"),
        ("timestamptz", "2016-12-31 24:00:00+00"),
    ],
)
def test_sqlite_value_that_postgresql_would_write_otherwise_stops_the_copy(
    database: Maker, kind: str, value: Any
) -> None:
    source, target = database("sqlite"), database("postgresql")
    source.run("CREATE TABLE t (id INTEGER PRIMARY KEY, v)")
    source.insert("t", [(1, value)])
    target.run(f"CREATE TABLE t (id bigint PRIMARY KEY, v {kind})")
    copy = Copy(source, target, tables=["t"], allow_lossy=["v"])
    with copy.claimed(), pytest.raises(CopyFailed, match="column v"):
        copy.copy_all(copy.units[0], 500)


PRICE = "CREATE DOMAIN price AS {}"
MADE = {  # types by their names, each of a number
    "price": PRICE,
    "pair": "CREATE TYPE pair AS (a {}, b int)",
    "other": f"{PRICE}; CREATE DOMAIN other AS price",
    "price[]": PRICE,
    "listed": "CREATE DOMAIN listed AS {}[]",
    "prices": f"{PRICE}; CREATE TYPE prices AS (a int, b price[])",
    "nest": f"{PRICE}; CREATE TYPE egg AS (a price); CREATE TYPE nest AS (b egg)",
    "span": f"{PRICE}; CREATE TYPE span AS RANGE (subtype = price)",
    "spans": f"{PRICE}; CREATE TYPE span AS RANGE (subtype = price, multirange_type_name = spans)",
}


@pytest.mark.parametrize("there", [True, False], ids=["existing", "new"])
@pytest.mark.parametrize("kind", MADE)
def test_type_of_another_definition_is_lossy(database: Maker, kind: str, there: bool) -> None:
    source, target = database("postgresql"), database("postgresql")
    for db, inner in ((source, "numeric"), (target, "numeric(9,1)")):
        db.run(*MADE[kind].format(inner).split("; "))
    for db in (source, target) if there else (source,):
        db.run(f"CREATE TABLE t (id int PRIMARY KEY, v {kind})")
    (found,) = errors(Copy(source, target, tables=["t"]))
    assert "column v would not survive" in found and "numeric(9,1)" in found


@pytest.mark.parametrize("there", [True, False], ids=["existing", "new"])
@pytest.mark.parametrize("kind", MADE)
def test_type_of_the_same_definition_is_exact(database: Maker, kind: str, there: bool) -> None:
    source, target = database("postgresql"), database("postgresql")
    for db in (source, target):
        db.run("CREATE TYPE first AS (a int)" if db is source else "SELECT 1")  # other numbers
        db.run(*MADE[kind].format("numeric").split("; "))
    for db in (source, target) if there else (source,):
        db.run(f"CREATE TABLE t (id int PRIMARY KEY, v {kind})")
    assert errors(Copy(source, target, tables=["t"])) == []


def test_interval_of_fewer_fields_is_lossy(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run("CREATE TABLE t (id int PRIMARY KEY, v interval)")
    target.run("CREATE TABLE t (id int PRIMARY KEY, v interval year)")
    assert "column v would not survive" in errors(Copy(source, target, tables=["t"]))[0]


def test_column_that_the_target_computes_is_said_to_be_left_out(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run("CREATE TABLE t (id int PRIMARY KEY, total int)")
    target.run("CREATE TABLE t (id int PRIMARY KEY, total int GENERATED ALWAYS AS (id * 2) STORED)")
    (unit,) = Copy(source, target, tables=["t"]).units
    assert any("total is not copied" in warning for warning in unit.warnings)


@pytest.mark.parametrize(
    ("source", "target"), [("sqlite",) * 2, ("postgresql",) * 2, ("postgresql", "sqlite")]
)
def test_column_that_both_sides_compute_otherwise_is_said_to_be_left_out(
    database: Maker, source: str, target: str
) -> None:
    a, b = database(source), database(target)
    made = "CREATE TABLE {} (id INTEGER NOT NULL PRIMARY KEY, g INTEGER GENERATED ALWAYS AS (id * {}) STORED)"
    a.run(made.format("t", 2))
    b.run(made.format("t", 3), made.format("same", 2))
    told = Copy(a, b, tables=["t"]).units[0].warnings
    assert any("column g is not copied" in text and "source another" in text for text in told)
    if source == target:
        alike = [{"name": "t", "target": "same"}]
        assert Copy(a, b, tables=alike).units[0].warnings == []


KEPT_IN_STRICT = ["007", "1e3", 7, 2.0, b"7", None]


@pytest.mark.parametrize("mode", ["replace", "append", "merge"])
@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_any_of_a_strict_table_keeps_texts_that_look_like_numbers(
    database: Maker, dialect: str, mode: str
) -> None:
    source, target = database(dialect), database("sqlite")
    source.run(
        "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, v TEXT)",
        "INSERT INTO t VALUES (1, '007'), (2, '1e3')",
    )
    target.run("CREATE TABLE t (id INTEGER PRIMARY KEY, v ANY) STRICT")
    Copy(source, target, tables=["t"], mode=mode).run()
    assert target.query("SELECT v FROM t ORDER BY id") == [("007",), ("1e3",)]


@pytest.mark.parametrize("columns", [["id", "v"], None], ids=["some", "all"])
def test_any_of_a_strict_table_becomes_a_column_that_keeps_values_as_they_are(
    database: Maker, columns: list[str] | None
) -> None:
    source, target = database("sqlite"), database("sqlite")
    source.run("CREATE TABLE t (id INTEGER PRIMARY KEY, v ANY, w TEXT) STRICT")
    source.insert("t (id, v)", list(enumerate(KEPT_IN_STRICT)))
    copy = Copy(source, target, tables=[{"name": "t", "columns": columns}])
    assert copy.units[0].columns[1].target_type == ("ANY" if columns is None else "")
    copy.run()
    asked = "SELECT quote(v) FROM t ORDER BY id"
    assert target.query(asked) == source.query(asked)
