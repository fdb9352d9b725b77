"""The rows of tables that inherit from another are read with its own."""

from __future__ import annotations

import pytest

from tests.sync.copying import Copy
from tests.sync.databases import Maker


@pytest.mark.parametrize("key", ["", " PRIMARY KEY"])
def test_rows_of_children_are_copied_whatever_holds_in_the_parent(
    database: Maker, key: str
) -> None:
    source, target = database("postgresql"), database("sqlite")
    source.run(f"CREATE TABLE t (id int{key}, v text)", "CREATE TABLE c () INHERITS (t)")
    source.insert("t", [(n, "parent") for n in range(10)])
    source.insert("c", [(n, "child") for n in range(2_000)])
    if not key:
        source.run("INSERT INTO c VALUES (NULL, 'no key')")
    target.run("CREATE TABLE t (id int, v text)")
    assert Copy(source, target, tables=["t"]).run(100) == {"t": 2_010 if key else 2_011}
    assert sorted(map(str, target.query("SELECT * FROM t"))) == sorted(
        map(str, source.query("SELECT * FROM t"))
    )
