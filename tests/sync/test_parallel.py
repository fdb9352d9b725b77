"""Chunks in several processes at once, as the worker's pool runs them."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest

from syncmon_ext.model.errors import DatabaseUnavailable
from syncmon_ext.sync import jobs
from syncmon_ext.sync.databases.postgresql import SnapshotLost
from tests.sync.copying import Copy
from tests.sync.databases import Maker

SPAWN = multiprocessing.get_context("spawn")


@pytest.mark.parametrize("target_dialect", ["sqlite", "postgresql"])
@pytest.mark.parametrize("source_dialect", ["sqlite", "postgresql"])
def test_chunks_in_parallel_and_twice(
    database: Maker, source_dialect: str, target_dialect: str
) -> None:
    source, target = database(source_dialect), database(target_dialect)
    source.run("CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, v TEXT)")
    source.insert("t", [(n, f"v{n}") for n in range(3_000)])
    copy = Copy(source, target, tables=["t"])
    with copy.claimed(), ProcessPoolExecutor(3, SPAWN) as pool:
        unit = copy.units[0]
        chunks = list(copy.chunks(unit, copy.prepare(unit), 500))
        arguments = (copy.source, copy.target, copy.own, unit)
        twice = [
            pool.submit(jobs.copy, *arguments, chunk, copy.snapshot)
            for chunk in chunks
            for _ in range(2)
        ]
        results = [future.result() for future in twice]
        assert sum(result.replayed for result in results) == len(chunks)
        copy.swap(unit)
    assert sorted(target.query("SELECT id, v FROM t")) == [(n, f"v{n}") for n in range(3_000)]


def test_error_crosses_the_border_of_processes_without_values(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run("CREATE TABLE t (id int NOT NULL UNIQUE, v text)")
    source.insert("t", [(1, "secret value")])
    target.run("CREATE TABLE t (id int, v text CHECK (v = 'x'))")
    copy = Copy(source, target, tables=["t"], mode="append", direct=True)
    with copy.claimed(), ProcessPoolExecutor(1, SPAWN) as pool:
        unit = copy.units[0]
        chunk = next(copy.chunks(unit, copy.prepare(unit), 10))
        failed = pool.submit(
            jobs.copy, copy.source, copy.target, copy.own, unit, chunk, copy.snapshot
        ).exception()
    assert failed is not None and "check constraint" in str(failed)
    assert "chunk (start, [1]]" in str(failed)
    assert "secret value" not in str(failed) + str(failed.__cause__)


def test_lost_snapshot_is_told_apart(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run("CREATE TABLE t (id int PRIMARY KEY)")
    source.insert("t", [(1,)])
    copy = Copy(source, target, tables=["t"])
    with copy.claimed():
        unit = copy.units[0]
        chunk = next(copy.chunks(unit, copy.prepare(unit), 10))
    with pytest.raises(SnapshotLost) as lost:
        copy.copy(unit, chunk)
    assert isinstance(lost.value, DatabaseUnavailable)
