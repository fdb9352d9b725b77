"""Content that differs has another digest, however alike it looks when it is written in a row."""

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
