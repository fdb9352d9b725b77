"""The compiled loops: as exact as the Python that they stand in for, and used where they can be."""

from __future__ import annotations

import array
import math
import os
import shutil
import sqlite3
import sysconfig
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from syncmon_ext.model.connection import Connection
from syncmon_ext.model.plan import ColumnPlan, UnitPlan
from syncmon_ext.sync import ranges
from syncmon_ext.sync.databases.sqlite import SqliteSession
from syncmon_ext.sync.routes import compiled, sqlite_postgresql
from syncmon_ext.sync.routes.postgresql_sqlite import parsed
from syncmon_ext.sync.storage_checks import Checks
from tests.examples import examples
from tests.sync.copying import Copy
from tests.sync.databases import Maker

loops: Any = compiled.for_sqlite()
needs_loops = pytest.mark.skipif(loops is None, reason="the loops are not compiled here")


def test_loops_are_compiled_where_there_is_a_compiler() -> None:
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        reason = "no compiler on this machine"
        if os.environ.get("SYNCMON_CI"):  # all that needs the loops would be skipped without a word
            pytest.fail(reason)
        pytest.skip(reason)
    assert compiled.for_sqlite() is not None and compiled.for_postgresql() is not None


def written(kind: bytes, values: list[Any], limit: int = 0) -> list[str | None]:
    """What the loop makes of each value as a column of its own; None where it refuses."""
    db = sqlite3.connect(":memory:")
    try:
        handle = db.execute("SELECT _syncmon_handle()").fetchone()[0]
        found: list[str | None] = []
        for value in values:
            statement = loops.prepare(handle, "SELECT ?", [value])
            data, rows, _ = loops.rows(statement, kind, array.array("i", [limit]).tobytes(), 9, 999)
            found.append(data.decode().removesuffix("\n") if rows else None)
            loops.end(statement)
        return found
    finally:
        db.close()


@needs_loops
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_real_has_the_text_that_python_gives_it(value: float) -> None:
    (text,) = written(b"r", [value])
    assert text is not None and float(text) == value
    assert math.copysign(1, float(text)) == math.copysign(1, value)
    if "e" not in repr(value):
        assert text == repr(value)


@needs_loops
@given(st.decimals(-(10**9), 10**9, places=4))
def test_decimal_keeps_its_digits(value: Any) -> None:
    number = float(value)
    assert written(b"n", [number]) == [repr(number)] or "e" in repr(number)


@needs_loops
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_text_comes_back_from_its_escapes(value: str) -> None:
    (text,) = written(b"t", [value])
    assert text is not None and "\n" not in text and "\t" not in text
    assert parsed(text, []) == [value]


@needs_loops
@given(st.integers(-(2**63), 2**63 - 1))
def test_integer_keeps_its_digits(value: int) -> None:
    assert written(b"i", [value]) == [str(value)]


@needs_loops
@pytest.mark.parametrize(
    ("kind", "limit", "good", "bad"),
    [
        (b"i", 0, [5, None], [1.5, "5", b"5"]),
        (b"r", 0, [1.5, 2**53], [2**53 + 1, "1.5", math.inf, b""]),
        (b"t", 0, ["", "é🙂"], [5, b"x", "nul\0in", 0.5]),
        (b"b", 0, [b"", b"\0\xff"], ["text", 5]),
        (b"o", 0, [0, 1, None], [2, "t", 1.0]),
        (b"n", 0, [5, 0.04, 0.0], ["5", b"5", math.inf, -0.0]),
        (b"d", 0, ["2013-02-28"], ["28.02.2013", "2013-2-28", "2013-02-28 BC", 5]),
        (b"l", 3, ["abc", "é🙂ü", ""], ["abcd", 5]),
        (b"c", 3, ["abc", "é🙂ü"], ["ab", "abcd"]),
        (b"s", 2, [5, 1.25, 3.0, 0.0], [1.255, "1.25", -0.0]),
    ],
)
def test_value_that_is_not_plain_is_refused(
    kind: bytes, limit: int, good: list[Any], bad: list[Any]
) -> None:
    assert None not in written(kind, good, limit)
    assert set(written(kind, bad, limit)) == {None}


RULES = ["integer", "real", "text", "blob", "boolean", "number", "date"]
RULES += ["text:3", "char:3", "numeric:0", "numeric:2"]
VALUES = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-2, 2),
    st.floats(allow_nan=False),
    st.sampled_from([0.0, -0.0, 1.5, -0.25, 1e22, 1e-7, 2.0**53]),
    st.decimals(-1000, 1000, places=3).map(float),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    st.from_regex(r"\A-?[0-9]{1,4}[-.][0-9]{1,2}(-[0-9]{1,2})?( BC)?\Z"),
    st.binary(max_size=4),
)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteSession]:
    path = tmp_path_factory.mktemp("checks") / "values.db"
    session = SqliteSession(Connection(name="values", url=f"sqlite:///{path}"), read_only=False)
    yield session
    session.close()


@needs_loops
@pytest.mark.parametrize("rule", RULES)
@examples(100)
@given(VALUES)
@example(-0.0)
def test_loop_takes_no_value_that_the_checks_refuse(
    session: SqliteSession, rule: str, value: Any
) -> None:
    column = ColumnPlan(name="v", source_type="", target_type="", nullable=True, check=rule)
    unit = UnitPlan(
        unit_id="t",
        ordinal=0,
        source_schema=None,
        source_table="t",
        target_schema=None,
        target_table="t",
        columns=[column],
        key=[],
        chunk_method="whole",
        route="sqlite_postgresql",
        swap="create",
        rows_total=1,
        rows_total_is_estimate=False,
    )
    plain = compiled.reading_kinds(unit)
    assert plain is not None
    kind, limit = plain
    if written(kind, [value], array.array("i", limit)[0]) == [None]:
        return
    select = f"SELECT {Checks(session, unit).selected()} FROM (SELECT ? AS v) AS t"
    (found,) = session.raw.execute(select, [value]).fetchone()
    assert found == value and type(found) is type(value)


@needs_loops
def test_ended_statement_holds_no_lock_and_is_not_used() -> None:
    db = sqlite3.connect(":memory:")
    statement = loops.prepare(db.execute("SELECT _syncmon_handle()").fetchone()[0], "SELECT 1", [])
    loops.end(statement)
    loops.end(statement)
    with pytest.raises(ValueError, match="ended"):
        loops.rows(statement, b"i", array.array("i", [0]).tobytes(), 1, 1)
    db.close()


@needs_loops
def test_error_of_sqlite_keeps_its_code() -> None:
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    handle = db.execute("SELECT _syncmon_handle()").fetchone()[0]
    statement = loops.prepare(handle, "INSERT INTO t VALUES (?)", [])
    with pytest.raises(sqlite3.Error) as failed:
        loops.land(statement, b"i", b"1\n2\n1\n", 0)
    assert failed.value.sqlite_errorcode == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
    loops.end(statement)
    db.close()


@needs_loops
def test_chunk_with_a_value_that_is_not_plain_goes_the_longer_way(
    database: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    went: list[int] = []
    longer = sqlite_postgresql._checked
    monkeypatch.setattr(
        sqlite_postgresql, "_checked", lambda *given: went.append(1) or longer(*given)
    )
    source, target = database("sqlite"), database("postgresql")
    source.run("CREATE TABLE t (id INTEGER PRIMARY KEY, v NUMERIC)")
    source.insert("t", [(1, 1.5), (2, 2), (3, "not a number")])
    target.run("CREATE TABLE t (id bigint PRIMARY KEY, v numeric)")
    source.run("UPDATE t SET v = 'NaN' WHERE id = 3")  # a text that PostgreSQL's numeric takes
    Copy(source, target, tables=["t"], verify="count").run()
    assert went
    assert [str(row[0]) for row in target.query("SELECT v FROM t ORDER BY id")] == [
        "1.5",
        "2",
        "NaN",
    ]


def test_chunk_of_a_composite_key_is_found_by_its_index(database: Maker) -> None:
    source, target = database("sqlite"), database("sqlite")
    source.run("CREATE TABLE t (a INTEGER NOT NULL, b TEXT NOT NULL, v, PRIMARY KEY (a, b))")
    unit = Copy(source, target, tables=["t"]).units[0]
    bind = ranges.Binder()
    where = ranges.where(unit, [1, "x"], [5, "y"], bind)
    db = sqlite3.connect(source.path)
    plan = db.execute(f"EXPLAIN QUERY PLAN SELECT count(*) FROM t{where}", bind.values).fetchall()
    db.close()
    assert "SEARCH" in plan[0][3] and "a>? AND a<?" in plan[0][3]


@pytest.mark.parametrize(
    "made",
    [
        "CREATE TABLE t (a TEXT NOT NULL PRIMARY KEY, v) WITHOUT ROWID",
        "CREATE TABLE t (a TEXT NOT NULL PRIMARY KEY, rowid)",
        "CREATE TABLE t (rowid TEXT NOT NULL PRIMARY KEY, _rowid_, oid)",
        "CREATE TABLE t (a TEXT NOT NULL PRIMARY KEY, v)",
    ],
)
def test_rows_in_another_order_than_their_key_s_are_each_copied_once(
    database: Maker, made: str
) -> None:
    source, target = database("sqlite"), database("sqlite")
    source.run(made)
    width = made.count(",") + 1
    keys = [*range(0, 200, 2), *range(199, 0, -2)]
    source.insert("t", [(f"{key:04}", *[key] * (width - 1)) for key in keys])
    Copy(source, target, tables=["t"]).run(30)
    assert sorted(target.query("SELECT * FROM t")) == sorted(source.query("SELECT * FROM t")) != []


def test_server_knows_how_few_rows_a_chunk_of_a_composite_key_has(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run(
        "CREATE TABLE t (a int NOT NULL, b int NOT NULL, v text, PRIMARY KEY (a, b))",
        "INSERT INTO t SELECT n, n % 7, 'v' FROM generate_series(1, 50000) AS n",
        "ANALYZE t",
    )
    unit = Copy(source, target, tables=["t"]).units[0]
    where = ranges.where(unit, [20_000, 1], [21_000, 0], str)
    plan = source.query(f"EXPLAIN (FORMAT JSON) SELECT * FROM t{where}")[0][0]
    assert 50 < plan[0]["Plan"]["Plan Rows"] < 2_000
