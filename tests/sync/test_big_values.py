"""Values of many megabytes: what a chunk needs is a few of its largest value, not all of its rows."""

from __future__ import annotations

import multiprocessing
import resource
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest

from syncmon_ext.sync import jobs
from tests.sync.copying import Copy
from tests.sync.databases import Maker

SPAWN = multiprocessing.get_context("spawn")
MIB = 1 << 20
VALUE = 32 * MIB
ROWS = 16
TIMES = (
    9  # a value, its text in two digits a byte, and the driver's and SQLite's own copies of both
)


def peak_of_a_copy(warm_up: tuple[Any, ...], arguments: tuple[Any, ...]) -> tuple[int, int]:
    jobs.copy(*warm_up)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    rows = jobs.copy(*arguments).rows
    return rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before


@pytest.mark.parametrize("target_dialect", ["sqlite", "postgresql"])
@pytest.mark.parametrize("source_dialect", ["sqlite", "postgresql"])
def test_memory_is_bounded_by_a_value(
    database: Maker, source_dialect: str, target_dialect: str
) -> None:
    source, target = database(source_dialect), database(target_dialect)
    kind, zeros = {
        "sqlite": ("BLOB", f"zeroblob({VALUE})"),
        "postgresql": ("BYTEA", f"decode(repeat('00', {VALUE}), 'hex')"),
    }[source_dialect]
    source.run(
        f"CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, v {kind})",
        "INSERT INTO t VALUES (0, NULL)",
        *(f"INSERT INTO t VALUES ({number}, {zeros})" for number in range(1, ROWS + 1)),
    )
    copy = Copy(source, target, tables=["t"])
    with copy.claimed(), ProcessPoolExecutor(1, SPAWN) as pool:
        unit = copy.units[0]
        copy.prepare(unit)
        first, rest = jobs.walk(copy.source, unit, None, [ROWS], [1, ROWS], copy.snapshot)
        chunks = [
            (copy.source, copy.target, copy.own, unit, chunk, copy.snapshot)
            for chunk in (first, rest)
        ]
        rows, peak = pool.submit(peak_of_a_copy, *chunks).result()
        assert rows == ROWS
        assert peak < TIMES * VALUE, f"{peak // MIB} MiB"
        copy.swap(unit)
    assert target.query(f"SELECT count(*) FROM t WHERE length(v) = {VALUE}") == [(ROWS,)]
