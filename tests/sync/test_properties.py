"""Whatever the values, the keys, the chunks and the moment of death: what arrives is what was there."""

from __future__ import annotations

import itertools
import json
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncmon_ext.sync import jobs
from syncmon_ext.sync.databases import sessions
from syncmon_ext.sync.routes import registry
from tests.examples import examples
from tests.sync.copying import Copy, owner
from tests.sync.databases import Database, Maker, database

__all__ = ["database"]

_runs = itertools.count(1)


def fresh(**options: Any) -> Any:
    return owner(run=f"property{next(_runs)}", **options)


TEXT = st.text(
    st.one_of(
        st.characters(exclude_characters="\0", exclude_categories=["Cs"]),
        st.sampled_from("\\\t\n\r'\",{}N \b\v\x7f"),
    ),
    max_size=12,
)
DAYS = st.one_of(
    st.sampled_from(["infinity", "-infinity", "4713-01-01 BC", "5874897-12-31"]),
    st.dates().map(str),
    st.integers(1, 4713).map(lambda year: f"{year:04d}-02-03 BC"),
)
SECONDS = st.tuples(
    st.integers(0, 23), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999_999)
).map(lambda t: f"{t[0]:02d}:{t[1]:02d}:{t[2]:02d}.{t[3]:06d}")
MOMENTS = st.one_of(
    st.sampled_from(["infinity", "-infinity", "294276-12-31 23:59:59.999999"]),
    st.datetimes().map(lambda moment: moment.isoformat(" ")),
    st.tuples(st.integers(1, 4712), SECONDS).map(lambda t: f"{t[0]:04d}-02-03 {t[1]} BC"),
)
JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXT
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
).map(json.dumps)  # fmt: skip
INTERVALS = st.tuples(
    st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6), st.integers(-(10**12), 10**12)
).map(lambda t: f"{t[0]} mons {t[1]} days {t[2]} microseconds")
# SQLite has no NaN and no negative zero: a copy of such a value is refused, which another test shows.
FLOATS = st.floats(allow_nan=False).filter(lambda x: x != 0 or str(x) == "0.0")
KINDS: dict[str, st.SearchStrategy[Any]] = {
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "numeric": st.one_of(
        st.sampled_from(["NaN", "Infinity", "-Infinity"]),
        st.decimals(allow_nan=False, allow_infinity=False, places=7).map(str),
        st.integers(-(10**60), 10**60).map(str),
    ),
    "numeric(38,10)": st.decimals(-(10**27), 10**27, places=10, allow_nan=False).map(str),
    "double precision": FLOATS.map(repr),
    "real": st.floats(width=32, allow_nan=False).filter(lambda x: x != 0).map(repr),
    "boolean": st.booleans(),
    "text": TEXT,
    "character varying(20)": TEXT,
    "bytea": st.binary(max_size=12),
    "date": DAYS,
    "timestamp without time zone": MOMENTS,
    "timestamp with time zone": MOMENTS.map(lambda text: text if "inf" in text else f"{text} UTC"),
    "time without time zone": SECONDS,
    "interval": INTERVALS,
    "uuid": st.uuids().map(str),
    "json": JSON,
    "jsonb": JSON,
    "text[]": st.lists(st.one_of(st.none(), TEXT), max_size=4),
    "bigint[]": st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), max_size=4),
}
ROW = st.tuples(*(st.one_of(st.none(), values) for values in KINDS.values()))
TABLE = "CREATE TABLE v (id bigint PRIMARY KEY, {})".format(
    ", ".join(f"c{n} {kind}" for n, kind in enumerate(KINDS))
)


def texts(db: Database) -> list[tuple[Any, ...]]:
    """Every value as PostgreSQL writes it."""
    listed = ", ".join(f"c{n}::text" for n in range(len(KINDS)))
    return db.query(f"SELECT id, {listed} FROM v ORDER BY id")


def insert(db: Database, rows: list[tuple[Any, ...]]) -> None:
    bound = (
        "bytea",
        "text[]",
        "bigint[]",
        "boolean",
        "bigint",
    )  # as what they are, all else as text
    casts = (f"%s::{kind}" if kind in bound else f"%s::text::{kind}" for kind in KINDS)
    marks = ", ".join(["%s", *casts])
    with psycopg.connect(db.connection.url, autocommit=True) as pg:
        pg.execute("SET TimeZone = 'UTC'")
        pg.cursor().executemany(f"INSERT INTO v VALUES ({marks})".encode(), rows)


@pytest.fixture
def places(database: Maker) -> list[Database]:
    """Where values come from, pass through, come back to, and are copied to straight."""
    return [database(dialect) for dialect in ("postgresql", "sqlite", "postgresql", "postgresql")]


@examples(8)
@given(rows=st.lists(ROW, max_size=6), size=st.integers(1, 7))
def test_any_values_come_back_from_sqlite_unchanged(
    places: list[Database], rows: list[tuple[Any, ...]], size: int
) -> None:
    source, middle, back, aside = places
    try:
        for db in (source, back):
            db.run(TABLE)
        insert(source, [(n, *row) for n, row in enumerate(rows)])
        Copy(source, middle, fresh(), tables=["v"]).run(size)
        lossy = [f"c{n}" for n in range(len(KINDS))]  # texts that PostgreSQL reads back
        Copy(middle, back, fresh(), tables=["v"], allow_lossy=lossy).run(size)
        assert texts(back) == texts(source)
        Copy(source, aside, fresh(), tables=["v"]).run(size)
        assert texts(aside) == texts(source)
    finally:
        sessions.close_all()  # each run has had some of its own
        for db in places:
            db.run("DROP TABLE IF EXISTS v")


OF_SQLITE: dict[str, st.SearchStrategy[Any]] = {
    "INTEGER": KINDS["bigint"],
    "REAL": FLOATS,
    "TEXT": TEXT,
    "BLOB": st.binary(max_size=12),
}


@examples(8)
@given(
    rows=st.lists(
        st.tuples(*(st.one_of(st.none(), values) for values in OF_SQLITE.values())), max_size=12
    ),
    size=st.integers(1, 13),
)
def test_any_values_of_sqlite_come_back_from_postgresql_unchanged(
    places: list[Database], rows: list[tuple[Any, ...]], size: int
) -> None:
    middle, source, _, _ = places
    columns = ", ".join(f"c{n} {kind}" for n, kind in enumerate(OF_SQLITE))
    listed = ", ".join(f"c{n}, typeof(c{n})" for n in range(len(OF_SQLITE)))
    try:
        source.run(f"CREATE TABLE v (id INTEGER PRIMARY KEY, {columns})")
        source.insert("v", [(n, *row) for n, row in enumerate(rows)])
        Copy(source, middle, fresh(), tables=["v"]).run(size)
        Copy(middle, source, fresh(), tables=[{"name": "v", "target": "back"}]).run(size)
        assert source.query(f"SELECT id, {listed} FROM back ORDER BY id") == source.query(
            f"SELECT id, {listed} FROM v ORDER BY id"
        )
    finally:
        sessions.close_all()
        for db in (source, middle):
            db.run("DROP TABLE IF EXISTS v", "DROP TABLE IF EXISTS back")


KEYS = {
    "integers": ("id BIGINT NOT NULL PRIMARY KEY", st.tuples(
        st.one_of(st.integers(-20, 20), st.integers(-(2**62), 2**62))
    )),
    "ties": ("a INTEGER NOT NULL, b INTEGER NOT NULL, c INTEGER NOT NULL, PRIMARY KEY (a, b, c)", st.tuples(
        st.integers(0, 2), st.integers(-1, 1), st.integers(-5, 40)
    )),
    "texts": ("k TEXT NOT NULL PRIMARY KEY", st.tuples(TEXT)),
    "mixed": ("t TEXT NOT NULL, n INTEGER NOT NULL, UNIQUE (t, n)", st.tuples(
        st.sampled_from(["", "a", "A", "b", "ä", "Z", "aa", " a", "a "]), st.integers(-3, 3)
    )),
}  # fmt: skip
ROUTES = sorted(tuple(name.split("_")) for name in registry.ROUTES)


@pytest.fixture(params=ROUTES, ids="-".join)
def pair(request: pytest.FixtureRequest, database: Maker) -> tuple[Database, Database]:
    """A source and a target of each route, the same for all examples."""
    source, target = request.param
    return database(source), database(target)


@examples(6)
@given(data=st.data())
def test_any_keys_in_any_chunks_with_any_death_are_the_table(
    pair: tuple[Database, Database], data: st.DataObject
) -> None:
    source, target = pair
    declared, values = KEYS[data.draw(st.sampled_from(sorted(KEYS)))]
    rows = data.draw(st.lists(values, max_size=40, unique=True))
    try:
        source.run(f"CREATE TABLE t ({declared})")
        source.insert("t", rows)
        name = f"property{next(_runs)}"
        for token in range(1, 4):
            copy = Copy(source, target, owner(run=name, token=token), tables=["t"])
            assert (copy.units[0].chunk_method, copy.units[0].errors) == ("key", [])
            with copy.claimed():
                unit = copy.units[0]
                mark = copy.prepare(unit)
                chunks = list(copy.chunks(unit, mark, data.draw(st.integers(1, 12))))
                if token == 3:
                    for chunk in chunks:
                        copy.copy(unit, chunk)
                    assert copy.swap(unit)[0].rows == len(rows)
                elif chunks:  # it dies with some of them committed, in whatever order
                    for number in data.draw(st.sets(st.sampled_from(range(len(chunks))))):
                        copy.copy(unit, chunks[number])
        jobs.forget(copy.target, copy.own, copy.units)
        assert sorted(target.query("SELECT * FROM t")) == sorted(rows)
    finally:
        sessions.close_all()  # each run has had some of its own
        for db in (source, target):
            db.run("DROP TABLE IF EXISTS t")
        left = jobs.leftovers(target.connection)
        jobs.clean(target.connection, [item.run_id for item in left])


@examples(5)
@given(data=st.data())
def test_rows_that_nobody_touches_arrive_once_whatever_comes_and_goes_beside_them(
    pair: tuple[Database, Database], data: st.DataObject
) -> None:
    """Without a snapshot: each chunk is of its own moment."""
    source, target = pair
    start = data.draw(st.sets(st.integers(-30, 60), max_size=40))
    try:
        source.run("CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY)")
        source.insert("t", [(n,) for n in start])
        kept, ever = set(start), set(start)
        copy = Copy(source, target, fresh(), tables=["t"], consistency="chunk", verify="count")
        with copy.claimed():
            unit = copy.units[0]
            for chunk in copy.chunks(unit, copy.prepare(unit), data.draw(st.integers(1, 9))):
                gone = data.draw(st.sets(st.integers(-30, 60), max_size=4))
                come = data.draw(st.sets(st.integers(-30, 60), max_size=4)) - ever
                source.run(*(f"DELETE FROM t WHERE id = {n}" for n in gone))
                source.insert("t", [(n,) for n in sorted(come)])
                kept -= gone
                ever |= come
                copy.copy(unit, chunk)
            copy.swap(unit)
        jobs.forget(copy.target, copy.own, copy.units)
        arrived = [row[0] for row in target.query("SELECT id FROM t")]
        assert len(arrived) == len(set(arrived))
        assert kept <= set(arrived) <= ever
    finally:
        sessions.close_all()  # each run has had some of its own
        for db in (source, target):
            db.run("DROP TABLE IF EXISTS t")
        left = jobs.leftovers(target.connection)
        jobs.clean(target.connection, [item.run_id for item in left])
