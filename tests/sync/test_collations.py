"""The union of the chunks is the table also where the key is sorted as people sort: by ICU."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import make_url

from syncmon_ext.model.connection import Connection
from syncmon_ext.sync import jobs
from syncmon_ext.sync.databases import sessions
from tests.debian_server import GROUP, debian_database
from tests.examples import examples
from tests.sync.copying import Copy, owner
from tests.sync.databases import Database, Maker

pytestmark = pytest.mark.xdist_group(GROUP)

# Two words are one key where they differ in case alone, or not even by accents.
IGNORES_CASE = "CREATE COLLATION kind (provider = icu, locale = '{}', deterministic = false)"
WORDS = [*"aAÄäáÁbBéÉßzZ9İiIı🙂ﬁ'\\\t", "ss", "SS", "a b", "a-b", "ab", "", "10", "1", "01", "fi"]
WORDS += ["co-op", "coop", "Co-Op"]
_numbers = itertools.count(1)


@pytest.fixture
def icu(database: Maker) -> Iterator[Callable[[str], Database]]:
    """Makes a fresh database with a collation ``kind``; SQLite's are those of all tests."""
    with ExitStack() as made:

        def make(collation: str) -> Database:
            if not collation:
                return database("sqlite")
            url = made.enter_context(debian_database())
            db = Database(Connection(name=str(make_url(url).database), url=url))
            db.run(collation)
            return db

        yield make
        sessions.close_all()


def distinct(db: Database, words: list[str]) -> list[str]:
    """Of words that are one key, the first."""
    db.run("DROP TABLE IF EXISTS w", "CREATE TABLE w (k text COLLATE kind UNIQUE, n serial)")
    with psycopg.connect(db.connection.url, autocommit=True) as pg:
        pg.cursor().executemany(
            "INSERT INTO w (k) VALUES (%s) ON CONFLICT DO NOTHING", [(w,) for w in words]
        )
    return [row[0] for row in db.query("SELECT k FROM w ORDER BY n")]


def check_union(source: Database, target: Database, size: int, rows: list[tuple[Any, ...]]) -> None:
    source.insert("t", rows)
    copy = Copy(source, target, owner(run=f"icu{next(_numbers)}"), tables=["t"])
    assert (copy.units[0].chunk_method, copy.units[0].errors) == ("key", [])
    with copy.claimed():
        unit = copy.units[0]
        results = copy.copy_all(unit, size)
        assert all(result.chunk.rows in (None, result.rows) for result in results)
        assert len(results) >= len(rows) // size
        copy.swap(unit)
    jobs.forget(copy.target, copy.own, copy.units)
    assert sorted(target.query("SELECT * FROM t")) == sorted(rows)
    assert sorted(source.query("SELECT * FROM t")) == sorted(rows)


COLLATIONS = {
    "ignores case": IGNORES_CASE.format("und-u-ks-level2"),
    "ignores case and accents": IGNORES_CASE.format("und-u-ks-level1"),
    "ignores punctuation": IGNORES_CASE.format("und-u-ka-shifted-ks-level3"),
    "English": "CREATE COLLATION kind (provider = icu, locale = 'en-US')",
    "German phone book": "CREATE COLLATION kind (provider = icu, locale = 'de-u-co-phonebk')",
    "Turkish": "CREATE COLLATION kind (provider = icu, locale = 'tr')",
    "numbers by value": "CREATE COLLATION kind (provider = icu, locale = 'en-u-kn-true')",
}  # fmt: skip


@pytest.mark.parametrize("kind", COLLATIONS)
@pytest.mark.parametrize("dialect", ["postgresql", "sqlite"])
def test_words_as_people_sort_them(icu: Callable[[str], Database], kind: str, dialect: str) -> None:
    source = icu(COLLATIONS[kind])
    target = icu(COLLATIONS[kind] if dialect == "postgresql" else "")
    source.run("CREATE TABLE t (k text COLLATE kind PRIMARY KEY)")
    words = distinct(source, WORDS)
    assert (len(words) < len(set(WORDS))) == kind.startswith("ignores")
    check_union(source, target, 2, [(word,) for word in words])


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("kind", ["ignores case", "ignores case and accents", "English"])
def test_words_that_are_equal_on_both_sides_of_a_border(
    icu: Callable[[str], Database], kind: str, size: int
) -> None:
    """Rows whose first key column is the same word to the collation are told apart by the second."""
    source, target = icu(COLLATIONS[kind]), icu(COLLATIONS[kind])
    source.run("CREATE TABLE t (k text COLLATE kind NOT NULL, n int NOT NULL, UNIQUE (k, n))")
    rows = [(word, n) for n, word in enumerate(["a", "A", "á", "Á", "b", "B"] * 3)]
    check_union(source, target, size, rows)


def test_a_key_that_changes_its_case_stays_in_its_chunk(icu: Callable[[str], Database]) -> None:
    source, target = icu(COLLATIONS["ignores case"]), icu(COLLATIONS["ignores case"])
    source.run("CREATE TABLE t (k text COLLATE kind PRIMARY KEY, v int)")
    source.insert("t", [(word, n) for n, word in enumerate("abcdefgh")])
    copy = Copy(source, target, tables=["t"], consistency="chunk")
    with copy.claimed():
        copy.snapshot = None
        unit = copy.units[0]
        chunks = list(copy.chunks(unit, copy.prepare(unit), 2))
        source.run("UPDATE t SET k = upper(k)")  # every border is written in another case now
        assert [copy.copy(unit, chunk).rows for chunk in chunks] == [2, 2, 2, 2]
        again = Copy(source, target, owner(token=2), tables=["t"], consistency="chunk")
        with again.claimed():
            assert again.prepare(again.units[0]).committed[0].high == ["h"]
        again.swap(again.units[0])
    assert sorted(target.query("SELECT * FROM t")) == sorted(source.query("SELECT * FROM t"))


def test_merge_finds_the_row_in_another_case(icu: Callable[[str], Database]) -> None:
    source, target = icu(COLLATIONS["ignores case"]), icu(COLLATIONS["ignores case"])
    for db in (source, target):
        db.run("CREATE TABLE t (k text COLLATE kind PRIMARY KEY, v int)")
    source.insert("t", [("A", 1), ("B", 2), ("É", 3)])
    target.insert("t", [("a", 0), ("é", 0), ("z", 0)])
    Copy(source, target, tables=["t"], mode="merge").run(1)
    found = {key.lower(): value for key, value in target.query("SELECT k, v FROM t")}
    assert found == {"a": 1, "b": 2, "é": 3, "z": 0}


@examples(15)
@given(
    words=st.lists(
        st.one_of(
            st.sampled_from(WORDS),
            st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4),
        ),
        max_size=25,
    ),
    size=st.integers(1, 6),
)
def test_any_words_are_a_key_that_ignores_case(
    icu: Callable[[str], Database], words: list[str], size: int
) -> None:
    source, target = _pair(icu)
    source.run("CREATE TABLE t (k text COLLATE kind PRIMARY KEY)")
    try:
        check_union(source, target, size, [(word,) for word in distinct(source, words)])
    finally:
        sessions.close_all()  # each run has some of its own
        for db in (source, target):
            db.run("DROP TABLE IF EXISTS t")


_kept: dict[Any, tuple[Database, Database]] = {}


def _pair(icu: Callable[[str], Database]) -> tuple[Database, Database]:
    """The same two databases for all examples of a test."""
    if icu not in _kept:
        _kept[icu] = (icu(COLLATIONS["ignores case"]), icu(COLLATIONS["ignores case"]))
    return _kept[icu]


@pytest.mark.parametrize("alike", [True, False])
def test_collation_of_another_definition_is_told(
    icu: Callable[[str], Database], alike: bool
) -> None:
    plain = "CREATE COLLATION kind (provider = icu, locale = 'de')"
    source, target = icu(plain), icu(plain if alike else IGNORES_CASE.format("de-u-ks-level2"))
    source.run("CREATE TABLE t (id int PRIMARY KEY, v text COLLATE kind UNIQUE)")
    (unit,) = Copy(source, target, tables=["t"]).units
    assert unit.errors == []
    told = [
        text for text in unit.warnings if "collation public.kind is icu de in the source" in text
    ]
    assert len(told) == (0 if alike else 1)
    assert alike or "icu de-u-ks-level2 not deterministic in the target" in told[0]
