"""Chunks of keys of several columns, which end with all rows of a value of the first one where they can."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncmon_ext.model.chunk import Chunk
from syncmon_ext.sync import jobs, ranges
from syncmon_ext.sync.databases import sessions
from tests.examples import examples
from tests.sync.copying import Copy, owner
from tests.sync.databases import Database, Maker

ROOM = 5  # rows that a chunk may have fewer, so that it ends with a whole value
SIZE = 64 * ROOM
ROUTES = [("postgresql", "sqlite"), ("sqlite", "postgresql"), ("postgresql", "postgresql")]
GROUPS = [3] * 200 + [1_500] + [1, 6, 9] * 60  # rows of each value of the first column
# Types of a first key column in which one value is spelled in two ways.
ONE_VALUE = {
    "postgresql": ("numeric", ("{}.0", "{}.00")),
    "sqlite": ("text COLLATE NOCASE", ("k{}", "K{}")),
}
ALL = "SELECT * FROM t ORDER BY a, b"
_runs = itertools.count()


def fill(db: Database, groups: list[int], first: str = "int") -> None:
    """Make a table with a group of rows for each value of its first key column."""
    db.run(f"CREATE TABLE t (a {first} NOT NULL, b int NOT NULL, v text, PRIMARY KEY (a, b))")
    values = (f"{n:05d}" if first.startswith("text") else n for n in itertools.count())
    rows = [
        (a, b, f"{a}/{b}") for size, a in zip(groups, values, strict=False) for b in range(size)
    ]
    random.Random(7).shuffle(rows)
    db.insert("t", rows)


@pytest.mark.parametrize(("source_dialect", "target_dialect"), ROUTES)
@pytest.mark.parametrize("first", ["int", "text"])
def test_chunks_end_with_whole_values_unless_one_has_many_rows(
    database: Maker, source_dialect: str, target_dialect: str, first: str
) -> None:
    source, target = database(source_dialect), database(target_dialect)
    fill(source, GROUPS, first)
    copy = Copy(source, target, tables=["t"])
    with copy.claimed():
        unit = copy.units[0]
        results = copy.copy_all(unit, SIZE)
        highs = [result.chunk.high or [] for result in results]
        assert {len(high) for high in highs} == {1, 2}, "whole values, but within the large one"
        assert len(highs[-1]) == 2, "the upper end is a key: what comes later is not chased"
        assert all(result.chunk.rows in (None, result.rows) for result in results)
        assert all(SIZE - ROOM <= result.rows <= SIZE for result in results[:-1])
        copy.swap(unit)
    assert target.query(ALL) == source.query(ALL)


@pytest.mark.parametrize(("source_dialect", "target_dialect"), ROUTES)
@pytest.mark.parametrize("first", ["int", "text", "text COLLATE NOCASE"])
def test_resume_goes_on_between_bounds_of_both_kinds(
    database: Maker, source_dialect: str, target_dialect: str, first: str
) -> None:
    if "NOCASE" in first and source_dialect != "sqlite":
        first = 'text COLLATE "C"'
    source, target = database(source_dialect), database(target_dialect)
    fill(source, GROUPS, first)
    copy = Copy(source, target, tables=["t"])
    with copy.claimed():
        unit = copy.units[0]
        found = list(copy.chunks(unit, copy.prepare(unit), SIZE))
        random.Random(3).shuffle(found)
        for chunk in found[::2]:
            copy.copy(unit, chunk)
        mark = copy.prepare(unit)
        left = ranges.gaps(mark.committed, mark.upper)
        assert {(repr(low), repr(high)) for low, high in left} == {
            (repr(low), repr(high)) for low, high in _gaps(found[1::2])
        }
        for chunk in copy.chunks(unit, mark, SIZE // 2):
            copy.copy(unit, chunk)
        copy.swap(unit)
    assert target.query(ALL) == source.query(ALL)


def _gaps(chunks: list[Chunk]) -> list[tuple[object, object]]:
    """Neighbouring chunks as one range, by their bounds alone."""
    by_low = {repr(chunk.low): chunk for chunk in chunks}
    highs = {repr(chunk.high) for chunk in chunks}
    found = []
    for chunk in chunks:
        if repr(chunk.low) in highs:
            continue
        last = chunk
        while repr(last.high) in by_low:
            last = by_low[repr(last.high)]
        found.append((chunk.low, last.high))
    return found


@examples(8)
@given(
    groups=st.lists(st.integers(1, 90), min_size=1, max_size=25),
    size=st.sampled_from([1, 63, 64, 100, 128, 640]),
    skipped=st.sets(st.integers(0, 40)),
)
def test_any_groups_in_any_chunks_with_any_left_out_are_the_table(
    pair: tuple[Database, Database], groups: list[int], size: int, skipped: set[int]
) -> None:
    source, target = pair
    try:
        fill(source, groups)
        copy = Copy(source, target, owner(f"run{next(_runs)}"), tables=["t"])
        with copy.claimed():
            unit = copy.units[0]
            for number, chunk in enumerate(copy.chunks(unit, copy.prepare(unit), max(size, 8))):
                if number not in skipped:
                    copy.copy(unit, chunk)
            for chunk in copy.chunks(unit, copy.prepare(unit), 97):
                copy.copy(unit, chunk)
            copy.swap(unit)
        jobs.forget(copy.target, copy.own, copy.units)
        assert target.query(ALL) == source.query(ALL)
    finally:
        sessions.close_all()
        for db in pair:
            db.run("DROP TABLE IF EXISTS t")


@pytest.fixture(params=ROUTES)
def pair(request: pytest.FixtureRequest, database: Maker) -> tuple[Database, Database]:
    """A source and a target."""
    source, target = request.param
    return database(source), database(target)


@examples(20)
@given(
    groups=st.lists(st.integers(3, 12), min_size=120, max_size=130),
    size=st.sampled_from([20, 30]),
    left_out=st.integers(20, 25),
    short=st.integers(0, 5),
)
def test_values_that_are_spelled_differently_end_no_chunk_beyond_its_gap(
    own_kind: tuple[Database, Database], groups: list[int], size: int, left_out: int, short: int
) -> None:
    """1.0 and 1.00, or 'K' and 'k', are one value: what is copied twice comes into a table without a key."""
    source, target = own_kind
    kind, spellings = ONE_VALUE[source.dialect]
    numbers = itertools.count()
    values = [
        (spellings[n % 2].format(group), n)
        for group, rows in enumerate(groups, 100)
        for n in itertools.islice(numbers, rows)
    ]
    try:
        source.run(f"CREATE TABLE t (a {kind} NOT NULL, b int NOT NULL, PRIMARY KEY (a, b))")
        target.run(f"CREATE TABLE t (a {kind}, b int)")
        source.insert("t", values)
        copy = Copy(source, target, owner(f"run{next(_runs)}"), tables=["t"])
        with copy.claimed():
            unit = copy.units[0]
            found = list(copy.chunks(unit, copy.prepare(unit), size))
            first, rest = found[:left_out], found[left_out:]
            for chunk in rest:
                copy.copy(unit, chunk)
            # A chunk that ends a few rows before the gap does.
            rows = max(64, sum(chunk.rows or 0 for chunk in first) - short)
            wide = next(n for n in itertools.count(rows) if n - n // 64 == rows)
            for chunk in copy.chunks(unit, copy.prepare(unit), wide):
                copy.copy(unit, chunk)
            copy.swap(unit)
        jobs.forget(copy.target, copy.own, copy.units)
        content = "SELECT b, CAST(a AS text) FROM t ORDER BY b"
        assert target.query(content) == source.query(content)
    finally:
        sessions.close_all()
        for db in own_kind:
            db.run("DROP TABLE IF EXISTS t")


@pytest.fixture(params=ONE_VALUE)
def own_kind(request: pytest.FixtureRequest, database: Maker) -> tuple[Database, Database]:
    """A source and a target of one kind."""
    return database(request.param), database(request.param)
