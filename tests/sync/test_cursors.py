"""How far back of a cursor's value a lag reaches."""

from __future__ import annotations

from typing import Any

import pytest

from syncmon_ext.model.errors import CopyFailed
from syncmon_ext.sync import cursors, jobs
from tests.sync.copying import Copy, owner
from tests.sync.databases import Maker


@pytest.mark.parametrize(
    ("value", "seconds", "expected"),
    [
        (100, 1.5, 98),
        (100.5, 1.5, 99.0),
        (5 - 2**63, 60, -(2**63)),
        ("2024-03-01", 60, "2024-02-29"),
        ("2024-03-01 00:00", 60, "2024-02-29 23:59"),
        ("2024-03-01T00:00:00Z", 1, "2024-02-29T23:59:59Z"),
        ("2024-03-01 00:00:00.25", 0.5, "2024-02-29 23:59:59.75"),
        ("2024-03-01 00:00:00.5+02:00", 0.25, "2024-03-01 00:00:00.2+02:00"),
        ("0001-01-01 00:00:00", 1, None),
        ("anything", 0, "anything"),
    ],
)
def test_earlier_value_of_sqlite(value: Any, seconds: float, expected: Any) -> None:
    assert cursors.earlier_in_sqlite("c", value, seconds) == expected


@pytest.mark.parametrize("value", ["yesterday", b"x", "2024-03-01 00:00:00 PST"])
def test_value_without_a_time_has_nothing_earlier(value: Any) -> None:
    with pytest.raises(CopyFailed, match="neither a number nor a time"):
        cursors.earlier_in_sqlite("c", value, 1)


@pytest.mark.parametrize(
    ("kind", "values", "late", "lag"),
    [
        ("integer", ["1", "5", "9"], "8", 1),
        ("numeric(10,2)", ["1.5", "5", "NaN"], "4.5", 0.5),
        ("double precision", ["1.5", "5", "Infinity"], "4.5", 0.5),
        ("date", ["2024-01-01", "2024-01-09", "infinity"], "2024-01-08", 60),
        (
            "timestamptz",
            ["2024-01-01 00:00+00", "2024-01-09 00:00+00", "-infinity"],
            "2024-01-08 23:59:00+00",
            60,
        ),
        ("timestamp", ["2024-01-01", "infinity", "0001-01-01 BC"], "2023-12-31 23:59:00", 60),
        ("varchar(20)", ["a", "b", "c"], "c", 0),
    ],
)
def test_late_row_within_the_lag_is_read(
    database: Maker, kind: str, values: list[str], late: str, lag: float
) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run(f"CREATE TABLE t (id int PRIMARY KEY, c {kind})")
    source.insert("t", list(enumerate(values)))
    spec: dict[str, Any] = {"mode": "incremental", "tables": [{"name": "t", "cursor": "c"}]}
    copy = Copy(source, target, owner(run="one"), **spec, lag_seconds=lag)
    endless = sum(value.lower() in ("nan", "infinity", "-infinity") for value in values)
    with copy.claimed():
        assert len(copy.prepare(copy.units[0]).warnings) == (1 if endless else 0)
        copy.copy_all(copy.units[0], 10)
        copy.swap(copy.units[0])
    jobs.forget(copy.target, copy.own, copy.units)
    source.insert("t", [(10, late)])
    Copy(source, target, owner(run="two"), **spec, lag_seconds=lag).run()
    assert (10,) in target.query("SELECT id FROM t")
    assert len(target.query("SELECT id FROM t")) == len(values) - endless + 1


@pytest.mark.parametrize(
    ("kind", "least", "greater"),
    [
        ("smallint", "-32768", "5"),
        ("integer", "-2147483648", "5"),
        ("bigint", "-9223372036854775808", "5"),
        ("date", "4714-11-24 BC", "2024-01-01"),
        ("date", "4714-11-24 BC", "5874897-12-31"),
        ("timestamp", "4714-11-24 BC", "294276-12-31"),
        ("timestamptz", "4714-11-24 00:00:00+00 BC", "294276-12-31 00:00+00"),
    ],
)
def test_lag_ends_at_the_least_value(database: Maker, kind: str, least: str, greater: str) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run(f"CREATE TABLE t (id int PRIMARY KEY, c {kind})")
    spec: dict[str, Any] = {"mode": "incremental", "tables": [{"name": "t", "cursor": "c"}]}
    for number, value in enumerate([least, least, greater, greater]):
        source.insert("t", [(number, value)])
        Copy(source, target, owner(run=f"run{number}"), **spec, lag_seconds=90_000).run()
        same = "SELECT id, c::text FROM t ORDER BY id"
        assert target.query(same) == source.query(same)
