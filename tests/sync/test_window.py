"""What a run of incremental reads out of SQLite, whose columns hold values of any type."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncmon_ext.model.errors import CopyFailed
from syncmon_ext.sync import jobs
from tests.examples import examples
from tests.sync.copying import Copy, errors, owner
from tests.sync.databases import Database, Maker

SPEC: dict[str, Any] = {"mode": "incremental", "tables": [{"name": "t", "cursor": "c"}]}


def table(db: Database, declared: str, values: list[Any]) -> None:
    db.run(f"CREATE TABLE t (id INTEGER PRIMARY KEY, c {declared})")
    db.insert("t", list(enumerate(values)))


def run(source: Database, target: Database, name: str, **spec: Any) -> list[str]:
    """One run; its warnings."""
    copy = Copy(source, target, owner(run=name), **SPEC, **spec)
    assert errors(copy) == []
    with copy.claimed():
        warnings = copy.prepare(copy.units[0]).warnings
    copy.run(10)
    return warnings


def content(db: Database) -> dict[int, Any]:
    return dict(db.query("SELECT id, c FROM t"))


@pytest.mark.parametrize("indexed", [False, True], ids=["", "indexed"])
@pytest.mark.parametrize(
    ("declared", "values", "odd", "later", "has"),
    [
        ("INTEGER", [1, 2], [""], [3, 4], "numbers"),
        ("INTEGER", [1], ["n/a", "", b"x"], [3, 4], "numbers"),
        ("REAL", [1.0, 2.0], [b""], [3.0, 4.0], "numbers"),
        ("DECIMAL(10,2)", [1, 2.5], ["n/a"], [3, 4.25], "numbers"),
        ("", [1, 2], ["9"], [3, 4], "numbers"),
        ("TEXT", ["a", "B"], [b"x"], ["b", "c"], "texts"),
        ("TEXT", ["2024-01-01", "2024-01-02"], ["", "n/a"], ["2024-01-03"], "begin with a digit"),
        ("TIMESTAMP", ["2024-01-01", "2024-01-02"], ["n/a"], ["2024-01-03"], "begin with a digit"),
        ("TIMESTAMP", ["2024-01-01", "2024-01-02"], [7], ["2024-01-03"], "begin with a digit"),
        ("BLOB", [b"a", b"b"], ["z"], [b"c", b"\xff"], "blobs"),
    ],
)
def test_value_of_another_kind_does_not_stop_a_cursor(
    database: Maker,
    declared: str,
    values: list[Any],
    odd: list[Any],
    later: list[Any],
    has: str,
    indexed: bool,
) -> None:
    source, target = database("sqlite"), database("sqlite")
    table(source, declared, [*values, *odd])
    if indexed:
        source.run("CREATE INDEX by_c ON t (c)")
    wanted = dict(enumerate(values))
    (warning,) = run(source, target, "one")
    rows = "1 row has" if len(odd) == 1 else f"{len(odd)} rows have"
    assert has in warning and f"but {rows} something else there and cannot be copied" in warning
    assert "in the row where id = " in warning and "; correct" in warning
    assert content(target) == wanted
    for number, value in enumerate(later):
        source.insert("t", [(100 + number, value)])
        wanted[100 + number] = value
        assert len(run(source, target, f"more{number}")) == 1
        assert content(target) == wanted


def test_infinite_cursors_are_counted_and_left(database: Maker) -> None:
    source, target = database("sqlite"), database("postgresql")
    table(source, "REAL", [1.5, math.inf, -math.inf, None])
    (warning,) = run(source, target, "one")
    assert "3 rows have no value in the cursor c (NULL or endless)" in warning
    assert content(target) == {0: 1.5}
    source.insert("t", [(9, 2.5)])
    run(source, target, "two")
    assert content(target) == {0: 1.5, 9: 2.5}


@pytest.mark.parametrize("odd", [math.inf, -math.inf])
def test_cursor_of_nothing_but_infinity_waits_for_a_value(database: Maker, odd: float) -> None:
    source, target = database("sqlite"), database("sqlite")
    table(source, "REAL", [odd])
    assert len(run(source, target, "one")) == 1
    assert content(target) == {}
    source.insert("t", [(9, 2.5)])
    run(source, target, "two")
    assert content(target) == {9: 2.5}


@pytest.mark.parametrize(
    ("declared", "values", "later"),
    [
        ("TEXT COLLATE NOCASE", ["a", "b"], ["C", "d", "E"]),
        ("TEXT COLLATE RTRIM", ["a", "b "], ["b  ", "c"]),
        ("TEXT", ["8fff", "9fff"], ["a000", "b000"]),
        ("INTEGER", ["2024-01-01", "2024-01-02"], ["2024-01-03"]),
        ("", [1, 2.5], [3, 4.5]),
        ("INTEGER", [-(2**63), 5], [2**63 - 1]),
        ("BLOB", [b"", b"\x01"], [b"\x02"]),
    ],
)
def test_watermark_advances_in_the_order_of_the_column(
    database: Maker, declared: str, values: list[Any], later: list[Any]
) -> None:
    source, target = database("sqlite"), database("sqlite")
    table(source, declared, values)
    run(source, target, "one")
    for number, value in enumerate(later):
        source.insert("t", [(100 + number, value)])
        assert run(source, target, f"more{number}") == []
        assert content(target) == content(source)


def test_watermark_of_another_kind_is_given_up(database: Maker) -> None:
    source, target = database("sqlite"), database("sqlite")
    table(source, "INTEGER", [1, 2])
    run(source, target, "one")
    target.run("UPDATE _syncmon_watermarks SET watermark = '[\"\"]'")  # as it was written once
    source.insert("t", [(5, 0), (6, 3)])
    (warning,) = run(source, target, "two")
    assert "the watermark was a text of 0 characters, and the cursor c has numbers" in warning
    assert content(target) == content(source)
    assert run(source, target, "three") == []


@pytest.mark.parametrize("lag", [0, 5])
def test_lag_does_not_reach_values_of_another_kind(database: Maker, lag: float) -> None:
    source, target = database("sqlite"), database("sqlite")
    table(source, "TEXT", ["0001-01-01 00:00:03", "0001-01-01 00:00:02", "", "n/a"])
    for name in ("one", "two"):
        assert len(run(source, target, name, lag_seconds=lag)) == 1
        assert list(content(target)) == [0, 1]


def test_renamed_cursor_is_not_taken_for_a_text(database: Maker) -> None:
    source, target = database("sqlite"), database("sqlite")
    table(source, "TEXT", ["a", "b"])
    run(source, target, "one")
    copy = Copy(source, target, owner(run="two"), **SPEC)
    with copy.claimed():
        source.run("ALTER TABLE t RENAME c TO d")
        with pytest.raises(CopyFailed, match=r"no such column: t\.c"):
            copy.prepare(copy.units[0])
        source.run("ALTER TABLE t RENAME d TO c")
        jobs.discard(copy.target, copy.own, copy.units)
    source.insert("t", [(5, "bb"), (6, "x")])
    run(source, target, "three")
    assert content(target) == content(source)


@examples(15)
@given(
    declared=st.sampled_from(["INTEGER", "REAL", "TEXT", "TIMESTAMP", "", "TEXT COLLATE NOCASE"]),
    odd=st.lists(
        st.sampled_from(
            [None, "", "n/a", "Z", "z", "/", ":", "infinity", b"", b"x", math.inf, -math.inf]
        ),
        max_size=5,
    ),
    times=st.booleans(),
)
def test_values_that_grow_are_all_read(
    database: Maker, declared: str, odd: list[Any], times: bool
) -> None:
    source, target = database("sqlite"), database("sqlite")
    texts = times or declared.startswith("TEXT")
    values = [f"2024-01-{10 + n}" if texts else n for n in range(9)]
    rows = [value for pair in zip(values, [*odd, *[None] * 9], strict=False) for value in pair]
    table(source, declared, rows[:14])
    run(source, target, "one")
    source.insert("t", list(enumerate(rows))[14:])
    run(source, target, "two")
    there, wanted = content(target), content(source)
    assert {number: there.get(number) for number in range(0, 18, 2)} == {
        number: wanted[number] for number in range(0, 18, 2)
    }
    assert there.items() <= wanted.items()
