"""Tables as wide as PostgreSQL makes them, and what stands there where one is wider than its target."""

from __future__ import annotations

from typing import Any

import pytest

from syncmon_ext.model.errors import CopyFailed
from tests.contract.pairs import Pair
from tests.sync.copying import Copy
from tests.sync.databases import Database, Maker

COLUMNS = 1_600  # the most that PostgreSQL allows
KINDS = ["integer", "smallint", "text", "boolean"]


def made(db: Database, columns: int, kinds: list[str] = KINDS) -> None:
    listed = ", ".join(f"c{n} {kinds[n % len(kinds)]}" for n in range(1, columns))
    db.run(f"CREATE TABLE t (id integer NOT NULL PRIMARY KEY, {listed})")


def row(number: int, columns: int) -> tuple[Any, ...]:
    """Every fourth value is NULL, at other places in each row."""
    values: list[Any] = [number]
    for n in range(1, columns):
        some: Any = (n * number % 30_000, n % 100 - 50, "é" if n % 3 else "\t", n % 5 > 0)[n % 4]
        values.append(None if (n // 4 + number) % 4 == 0 else some)
    return tuple(values)


def test_widest_table(pair: Pair) -> None:
    source, target = pair
    made(source, COLUMNS)
    rows = [row(number, COLUMNS) for number in range(1, 8)]
    source.insert("t", rows)
    assert Copy(source, target, tables=["t"]).run(size=3) == {"t": 7}
    assert sorted(target.query("SELECT * FROM t")) == sorted(source.query("SELECT * FROM t"))
    assert [tuple(found) for found in target.query("SELECT * FROM t ORDER BY id")] == rows


def test_merge_into_the_widest_table(pair: Pair) -> None:
    source, target = pair
    for db in pair:
        made(db, COLUMNS)
    source.insert("t", [row(number, COLUMNS) for number in range(1, 5)])
    target.insert("t", [(number, *row(9, COLUMNS)[1:]) for number in (2, 7)])
    Copy(source, target, tables=["t"], mode="merge").run(size=3)
    wanted = [*source.query("SELECT * FROM t"), (7, *row(9, COLUMNS)[1:])]
    assert sorted(target.query("SELECT * FROM t")) == sorted(wanted)


def test_table_that_is_wider_than_postgresql_allows(database: Maker) -> None:
    source, target = database("sqlite"), database("postgresql")
    made(source, COLUMNS + 1)
    unit = Copy(source, target, tables=["t"]).units[0]
    assert unit.refusal is not None
    assert "1,601 columns" in unit.refusal[0] and "1,600" in unit.refusal[0]
    assert "columns = [" in unit.refusal[1]


def test_row_that_is_larger_than_a_page_of_postgresql(database: Maker) -> None:
    source, target = database("sqlite"), database("postgresql")
    made(source, COLUMNS, ["text"])
    source.insert("t", [(1, *(f"value {n} of a row" for n in range(1, COLUMNS)))])
    copy = Copy(source, target, tables=["t"])
    with (
        copy.claimed(),
        pytest.raises(CopyFailed, match=r"table t, chunk.*row is too big") as raised,
    ):
        copy.copy_all(copy.units[0], 10)
    assert "columns = [" in raised.value.hint and "8 KiB" in raised.value.hint
