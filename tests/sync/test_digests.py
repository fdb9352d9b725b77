"""Content that differs has another digest, however alike it looks, and whoever computed it."""

from __future__ import annotations

import pytest

from syncmon_ext.sync import jobs
from tests.sync.copying import Copy
from tests.sync.databases import Maker
from tests.sync.test_properties import ROUTES


@pytest.mark.parametrize(("source", "target"), ROUTES, ids=map("-".join, ROUTES))
def test_quote_in_another_column_is_found(database: Maker, source: str, target: str) -> None:
    a, b = database(source), database(target)
    a.run("CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, v TEXT, w TEXT)")
    a.insert("t", [(1, "a", "b'c")])
    copy = Copy(a, b, tables=["t"])
    with copy.claimed():
        (unit,) = copy.units
        (done,) = copy.copy_all(unit, 10)
        (stage,) = b.staging()
        b.run(f"""UPDATE "{stage}" SET v = 'a''b', w = 'c'""")
        assert len(jobs.index(copy.target, copy.own, unit)) == 1
        copy.copy(unit, done.chunk)
        copy.swap(unit)
    assert b.query("SELECT * FROM t") == [(1, "a", "b'c")]


def test_function_that_computes_something_else_in_the_target_is_found(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    for db, factor in ((source, 2), (target, 3)):
        db.run(
            f"CREATE FUNCTION times(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 * {factor}'"
        )
    source.run(
        "CREATE TABLE t (id int PRIMARY KEY, v int GENERATED ALWAYS AS (times(id)) STORED)",
        "INSERT INTO t SELECT generate_series(0, 3)",
    )
    copy = Copy(source, target, tables=["t"])
    with copy.claimed():
        (unit,) = copy.units
        copy.copy_all(unit, 2)
        assert len(jobs.index(copy.target, copy.own, unit)) == 2
