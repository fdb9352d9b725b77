"""Cursors of texts: what the plan says of them, and the odd text that would keep later rows out."""

from __future__ import annotations

from typing import Any

import pytest

from syncmon_ext.model.errors import CopyFailed
from syncmon_ext.sync import jobs
from tests.sync.copying import Copy, errors, owner
from tests.sync.databases import Database, Maker

SPEC: dict[str, Any] = {"mode": "incremental", "tables": [{"name": "t", "cursor": "c"}]}
DAYS = ["2024-01-01 10:00:00", "2024-01-02"]
ODD = "no time like the others: rows that come later would never be copied"


def table(source: Database, declared: str, values: list[Any]) -> None:
    source.run(f"CREATE TABLE t (id INTEGER PRIMARY KEY, c {declared})")
    source.insert("t", list(enumerate(values)))


def run(source: Database, target: Database, name: str) -> list[str]:
    """One run; its warnings."""
    copy = Copy(source, target, owner(run=name), **SPEC)
    assert errors(copy) == []
    with copy.claimed():
        warnings = copy.prepare(copy.units[0]).warnings
    copy.run(10)
    return warnings


def refused(source: Database, target: Database, name: str) -> CopyFailed:
    copy = Copy(source, target, owner(run=name), **SPEC)
    with copy.claimed(), pytest.raises(CopyFailed, match=ODD) as caught:
        copy.prepare(copy.units[0])
    jobs.discard(copy.target, copy.own, copy.units)
    return caught.value


def content(db: Database) -> list[tuple[Any, ...]]:
    return db.query("SELECT id, c FROM t ORDER BY id")


@pytest.mark.parametrize(
    ("dialect", "declared", "values", "told"),
    [
        ("postgresql", "text", DAYS, True),
        ("postgresql", "varchar(40)", [], True),
        ("postgresql", "timestamp", DAYS, False),
        ("sqlite", "TEXT", DAYS, False),  # times are texts there
        ("sqlite", "TEXT", [], False),
        ("sqlite", "VARCHAR(40)", [*DAYS, "9"], True),
        ("sqlite", "TEXT", [None, "a"], True),
        ("sqlite", "INTEGER", [1, "n/a"], False),  # the run tells of it
    ],
)
def test_plan_says_how_texts_are_compared(
    database: Maker, dialect: str, declared: str, values: list[Any], told: bool
) -> None:
    source, target = database(dialect), database("sqlite")
    table(source, declared, values)
    warnings = Copy(source, target, **SPEC).units[0].warnings
    assert any("by the order of texts" in warning for warning in warnings) == told


def test_odd_text_is_refused_before_it_is_the_watermark(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    table(source, "text", [*DAYS, "n/a"])
    error = refused(source, target, "one")
    assert "a text of 3 characters" in error.message and "ORDER BY" in error.hint
    source.run("UPDATE t SET c = '2024-01-02' WHERE id = 2")
    assert run(source, target, "two") == []
    source.insert("t", [(9, "unknown"), (10, "2024-01-03")])
    refused(source, target, "three")
    source.run("UPDATE t SET c = NULL WHERE id = 9")
    (warning,) = run(source, target, "four")
    assert "1 row has no value in the cursor c" in warning
    assert [row[0] for row in content(target)] == [0, 1, 2, 10]


def test_odd_text_that_is_the_watermark_already_is_given_up_once_it_is_corrected(
    database: Maker,
) -> None:
    source, target = database("postgresql"), database("sqlite")
    table(source, "text", DAYS)
    run(source, target, "one")
    target.run("UPDATE _syncmon_watermarks SET watermark = '[\"n/a\"]'")  # as it was written once
    source.insert("t", [(5, "2024-01-01"), (6, "n/a")])
    refused(source, target, "two")
    source.run("UPDATE t SET c = '2024-01-03' WHERE id = 6")
    (warning,) = run(source, target, "three")
    assert "the watermark was a text of 3 characters, and the cursor c has times" in warning
    assert content(target) == content(source)
    assert run(source, target, "four") == []


@pytest.mark.parametrize(
    ("values", "odd"),
    [(DAYS, ["unknown"] * 3), (DAYS, ["9 unknown"]), (DAYS, ["31/12/2024"])],
    ids=["most of them", "a digit", "another form"],
)
def test_odd_text_of_sqlite_is_refused_where_it_would_be_the_watermark(
    database: Maker, values: list[str], odd: list[str]
) -> None:
    source, target = database("sqlite"), database("sqlite")
    table(source, "TEXT", [*values, *odd])
    refused(source, target, "one")
    source.run(f"UPDATE t SET c = '2024-01-03' WHERE id >= {len(values)}")
    assert run(source, target, "two") == []
    target.run(f"UPDATE _syncmon_watermarks SET watermark = '[\"{odd[0]}\"]'")
    source.insert("t", [(50, "2024-01-04")])
    assert len(run(source, target, "three")) == 1  # all rows are read again
    assert content(target) == content(source)


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
@pytest.mark.parametrize(
    ("values", "told"),
    [
        (["0007", "0008", "n/a"], True),
        (["0007", "0008"], False),
        (["8fff", "a000"], False),
        (["0001-01-01", "1999-12-31"], False),
        (["2023", "2024-01-01"], False),
        (["a", "b"], False),
        ([], False),
    ],
)
def test_texts_of_other_forms_are_copied(
    database: Maker, dialect: str, values: list[str], told: bool
) -> None:
    source, target = database(dialect), database("sqlite")
    table(source, "text", values)
    warnings = run(source, target, "one")
    assert [("of digits alone" in w, "never copied" in w) for w in warnings] == [
        (True, True)
    ] * told
    assert content(target) == content(source)
