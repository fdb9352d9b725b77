"""Columns of char(n) between databases of PostgreSQL that count letters differently."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from syncmon_ext.model.connection import Connection
from syncmon_ext.model.errors import CopyFailed
from syncmon_ext.sync import jobs
from syncmon_ext.sync.databases import sessions
from tests.sync.copying import Copy, owner
from tests.sync.databases import Database, dsn

COLUMNS = "id int PRIMARY KEY, c char(4), a char(4)[], d padded, v varchar(4), w text"
Sides = dict[str, Database]


@pytest.fixture
def sides() -> Iterator[Sides]:
    """Empty databases by their encodings."""
    made: Sides = {}
    with psycopg.connect(dsn("postgres"), autocommit=True) as admin:
        for encoding in ("SQL_ASCII", "UTF8", "LATIN1"):
            name = f"in_{encoding.lower()}"
            admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
            admin.execute(
                f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 "
                "LC_COLLATE 'C' LC_CTYPE 'C'".encode()
            )
            made[encoding] = Database(Connection(name=name, url=dsn(name)))
        yield made
        sessions.close_all()
        for side in made.values():
            name = side.connection.name
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def fill(side: Database, value: str) -> None:
    side.run("CREATE DOMAIN padded AS char(4)", f"CREATE TABLE t ({COLUMNS})")
    with psycopg.connect(side.connection.url, client_encoding="UTF8") as pg:
        pg.execute(
            "INSERT INTO t SELECT 1, v::bpchar, ARRAY[v::bpchar], v::bpchar, v, v "
            "FROM (SELECT %s::text) AS f (v)",
            (value,),
        )


def named(copy: Copy) -> list[str]:
    """The columns that the plan warns about."""
    told = [w for w in copy.units[0].warnings if "filled up with blanks" in w]
    return [warning.split()[1] for warning in told]


@pytest.mark.parametrize("there", [False, True])
def test_blanks_that_differ_are_told_of(sides: Sides, there: bool) -> None:
    source, target = sides["SQL_ASCII"], sides["UTF8"]
    fill(source, "é")
    target.run("CREATE DOMAIN padded AS char(4)")
    if there:
        target.run(f"CREATE TABLE t ({COLUMNS})")
    copy = Copy(source, target, tables=["t"], verify="count")
    assert named(copy) == ["c", "a", "d"]
    copy.run()
    read = "SELECT {} FROM t"
    with psycopg.connect(source.connection.url, client_encoding="UTF8") as pg:
        same, padded = (
            pg.execute(read.format(what).encode()).fetchall() for what in ("c::text, v, w", "a")
        )
    assert target.query(read.format("c::text, v, w")) == same
    assert (padded, target.query(read.format("a"))) == ([(["é  "],)], [(["é   "],)])


def test_value_that_has_too_many_bytes_is_told_of_and_refused(sides: Sides) -> None:
    source, target = sides["UTF8"], sides["SQL_ASCII"]
    fill(source, "ééé")
    target.run("CREATE DOMAIN padded AS char(4)")
    copy = Copy(source, target, tables=["t"])
    assert named(copy) == ["c", "a", "d"]
    with copy.claimed(), pytest.raises(CopyFailed, match="too long"):
        copy.copy_all(copy.units[0], 10)
    jobs.discard(copy.target, copy.own, copy.units)


def test_column_of_the_target_that_takes_blanks_as_they_are_is_not_told_of(sides: Sides) -> None:
    source, target = sides["SQL_ASCII"], sides["UTF8"]
    source.run("CREATE TABLE t (id int PRIMARY KEY, c char(4))")
    for kind in ("text", "varchar(9)"):
        target.run("DROP TABLE IF EXISTS t", f"CREATE TABLE t (id int PRIMARY KEY, c {kind})")
        assert named(Copy(source, target, tables=["t"])) == []


@pytest.mark.parametrize(("one", "other"), [("UTF8", "LATIN1"), ("LATIN1", "UTF8")])
def test_encodings_that_count_characters_agree(sides: Sides, one: str, other: str) -> None:
    source, target = sides[one], sides[other]
    fill(source, "ééé")
    target.run("CREATE DOMAIN padded AS char(4)")
    copy = Copy(source, target, owner(), tables=["t"])
    assert named(copy) == []
    copy.run()
    read = "SELECT c, a, d, v, w FROM t"
    assert target.query(read) == source.query(read)
