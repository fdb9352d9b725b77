"""A table that was counted in the snapshot that all its chunks are read in gives as many rows."""

from __future__ import annotations

import pytest

from syncmon_ext.model.errors import CountMismatch
from syncmon_ext.sync import jobs
from syncmon_ext.sync.databases import sessions
from tests.sync.copying import Copy
from tests.sync.databases import Database, Maker

ROWS = 300
READY = "UPDATE pg_index SET indisready = {} WHERE indexrelid = 't_pkey'::regclass"


def prefer(source: Database, scan: str) -> None:
    """Have the sessions to come read by ``scan`` where they can."""
    name = source.query("SELECT current_database()")[0][0]
    for other in ("seqscan", "indexscan", "indexonlyscan", "bitmapscan"):
        source.run(f"ALTER DATABASE {name} SET enable_{other} = {'on' if other == scan else 'off'}")
    sessions.close_all()


def damaged(database: Maker) -> Database:
    """A source whose table has a row that its key's index does not know."""
    source = database("postgresql")
    source.run("CREATE TABLE t (id int PRIMARY KEY, v text)")
    source.insert("t", [(n, "x") for n in range(ROWS) if n != 150])
    source.run(READY.format("false"), "INSERT INTO t VALUES (150, 'x')", READY.format("true"))
    return source


def test_rows_that_an_index_does_not_know_fail_the_table(database: Maker) -> None:
    source, target = damaged(database), database("sqlite")
    copy = Copy(source, target, tables=["t"], verify="count")
    (unit,) = copy.units
    with copy.claimed():
        prefer(source, "seqscan")
        mark = copy.prepare(unit)
        assert mark.rows_total == ROWS
        prefer(source, "indexscan")
        for chunk in copy.chunks(unit, mark, 100):
            copy.copy(unit, chunk)
        with pytest.raises(CountMismatch, match="299 were copied, in the same snapshot") as error:
            jobs.index(copy.target, copy.own, unit)
        assert "REINDEX TABLE public.t" in error.value.hint
    with copy.claimed():  # a resume in another snapshot does not hide it
        copy.prepare(unit)
        with pytest.raises(CountMismatch):
            jobs.index(copy.target, copy.own, unit)
    sessions.close_all()


def test_rows_that_change_between_two_snapshots_do_not(database: Maker) -> None:
    source, target = database("postgresql"), database("sqlite")
    source.run("CREATE TABLE t (id int PRIMARY KEY, v text)")
    source.insert("t", [(n, "x") for n in range(ROWS)])
    copy = Copy(source, target, tables=["t"])
    (unit,) = copy.units
    with copy.claimed():
        chunks = list(copy.chunks(unit, copy.prepare(unit), 100))
        copy.copy(unit, chunks[0])
    source.run("DELETE FROM t WHERE id = 250")
    with copy.claimed():
        copy.prepare(unit)
        for chunk in chunks[1:]:
            copy.copy(unit, chunk)
        assert copy.swap(unit)[0].rows == ROWS - 1
    sessions.close_all()


def test_view_that_depends_on_the_time_is_not_compared(database: Maker) -> None:
    source, target = database("postgresql"), database("sqlite")
    source.run("CREATE TABLE t (id int PRIMARY KEY, at timestamptz)")
    source.run(
        "INSERT INTO t SELECT n, clock_timestamp() + n * interval '10 ms' FROM generate_series(1, 300) n",
        "CREATE VIEW v AS SELECT * FROM t WHERE at > now()",
    )
    copy = Copy(source, target, tables=["v"], verify="count")
    (unit,) = copy.units
    with copy.claimed():
        total = copy.prepare(unit).rows_total
        rows = sum(result.rows for result in copy.copy_all(unit, 1000))
        assert total is not None and rows < total
        assert copy.swap(unit)[0].rows == rows
    sessions.close_all()
