"""Cursors of times: a last one in the future keeps out what comes before it, and that is said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.sync.copying import Copy, owner
from tests.sync.databases import Maker

TODAY = datetime.now(UTC).date()
AHEAD = "lies in the future"


@pytest.mark.parametrize(
    ("dialect", "declared"),
    [
        ("postgresql", "date"),
        ("postgresql", "timestamptz"),
        ("postgresql", "timestamp"),
        ("postgresql", "text"),
        ("sqlite", "TEXT"),
        ("sqlite", "TIMESTAMP"),
    ],
)
@pytest.mark.parametrize(
    ("day", "told"),
    [
        ("9999-12-31", True),
        (str(TODAY + timedelta(days=9)), True),
        (str(TODAY), False),
        ("0044-03-15", False),
    ],
)
def test_last_time_that_has_not_come_is_told(
    database: Maker, dialect: str, declared: str, day: str, told: bool
) -> None:
    source, target = database(dialect), database("sqlite")
    source.run(f"CREATE TABLE t (id INTEGER PRIMARY KEY, c {declared})")
    source.insert("t", [(1, "0001-01-01"), (2, day)])
    tables = [{"name": "t", "cursor": "c"}]
    for run in ("one", "two"):
        copy = Copy(source, target, owner(run=run), mode="incremental", tables=tables)
        with copy.claimed():
            warnings = copy.prepare(copy.units[0]).warnings
        assert [AHEAD in warning for warning in warnings] == [True] * told
        assert all(day in warning for warning in warnings)
        copy.run(10)


@pytest.mark.parametrize(
    ("day", "told"), [("12024-05-01", True), ("0044-03-15 BC", False), ("infinity", False)]
)
def test_times_beyond_the_calendar_of_python(database: Maker, day: str, told: bool) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run(
        "CREATE TABLE t (id int PRIMARY KEY, c timestamp)",
        f"INSERT INTO t VALUES (1, '0050-01-01 BC'), (2, '{day}')",
    )
    copy = Copy(source, target, mode="incremental", tables=[{"name": "t", "cursor": "c"}])
    with copy.claimed():
        warnings = copy.prepare(copy.units[0]).warnings
    assert any(AHEAD in warning for warning in warnings) == told
