"""Chunks of large tables of PostgreSQL, cut by a sample of their pages."""

from __future__ import annotations

import itertools
from pathlib import Path

import msgspec
import pytest

from syncmon_ext.model.chunk import Chunk
from syncmon_ext.model.state import State
from syncmon_ext.sync import jobs, ranges, sampling
from syncmon_ext.sync.databases import sessions
from syncmon_ext.sync.databases.postgresql import PostgresSession
from tests.faults.harness import rig
from tests.sync.copying import Copy
from tests.sync.databases import Database, Maker

ROWS = 1_100_000
SIZES = [sampling.LEAST_CHUNK] * sampling.AHEAD


@pytest.fixture
def source(database: Maker) -> Database:
    return database("postgresql")


def fill(db: Database, group: str = "n / 3", *, in_parts: bool = False) -> None:
    """Make a table of ROWS rows, in no physical order; ``group`` gives the first column of its key."""
    db.run(
        "CREATE TABLE t (a bigint NOT NULL, b bigint NOT NULL, v text)"
        + (" PARTITION BY RANGE (a)" if in_parts else "")
    )
    if in_parts:
        db.run("CREATE TABLE t1 PARTITION OF t DEFAULT")
    db.run(
        f"INSERT INTO t SELECT {group}, n, 'row ' || n FROM (SELECT i::bigint * 7919 % {ROWS} AS n "
        f"FROM generate_series(0, {ROWS - 1}) AS i) AS numbers",
        "ALTER TABLE t ADD PRIMARY KEY (a, b)",
        "ANALYZE t",
    )


def counted(db: Database, copy: Copy, chunks: list[Chunk]) -> list[int]:
    """The rows of each chunk."""
    with sessions.opened(db.connection, "syncmon/test") as session:
        assert isinstance(session, PostgresSession)
        wheres = [
            ranges.where(copy.units[0], chunk.low, chunk.high, session.literal) for chunk in chunks
        ]
        return [session.execute(f"SELECT count(*) FROM public.t{where}")[0][0] for where in wheres]


def walked(
    db: Database, database: Maker, *, believed: int | None = None
) -> tuple[Copy, list[Chunk]]:
    copy = Copy(db, database("sqlite"), tables=["t"])
    unit = copy.units[0]
    assert sampling.fits(unit, max(SIZES))
    if believed is not None:
        unit = msgspec.structs.replace(unit, rows_total=believed)
    with copy.claimed():
        upper = copy.prepare(unit).upper
        found = jobs.walk(db.connection, unit, None, upper, SIZES, copy.snapshot, roughly=True)
    assert found[0].low is None
    assert all(one.high == other.low for one, other in itertools.pairwise(found))
    return copy, found


def test_chunks_are_the_table_and_about_as_large_as_asked_for(
    source: Database, database: Maker
) -> None:
    fill(source)
    copy, chunks = walked(source, database)
    rows = counted(source, copy, chunks)
    assert sum(rows) == ROWS
    assert all(0.4 < count / SIZES[0] < 1.8 for count in rows[:-1]), rows
    assert all(len(chunk.high or ()) == 1 for chunk in chunks[:-1]), "they end with whole values"
    assert all(chunk.rows is None for chunk in chunks), "nobody has counted them"


def test_old_statistics_make_no_large_chunks(source: Database, database: Maker) -> None:
    fill(source)
    copy, chunks = walked(source, database, believed=ROWS // 5)
    rows = counted(source, copy, chunks)
    assert sum(rows) == ROWS
    assert all(count < 2 * SIZES[0] for count in rows), rows


def test_value_with_many_rows_is_cut_amid_them(source: Database, database: Maker) -> None:
    fill(source, "CASE WHEN n < 700000 THEN 5 ELSE n END")
    copy, chunks = walked(source, database)
    rows = counted(source, copy, chunks)
    assert sum(rows) == ROWS
    assert all(count < 1.8 * SIZES[0] for count in rows), rows
    assert {len(chunk.high or ()) for chunk in chunks} == {1, 2}


def test_table_in_parts_is_walked(source: Database, database: Maker) -> None:
    fill(source, in_parts=True)
    copy, chunks = walked(source, database)
    assert len(chunks) == 8
    assert counted(source, copy, chunks) == [chunk.rows for chunk in chunks]


def test_sample_is_not_used_against_a_bound_that_somebody_has_set(tmp_path: Path) -> None:
    """A whole run each, and what it has noted of its chunks."""
    for chunk_rows in (None, 60_000):
        folder = tmp_path / str(chunk_rows)
        folder.mkdir()
        options = {"tables": ["t"], "chunk_rows": chunk_rows}
        with rig(folder, "postgresql-postgresql", flights=1, **options) as it:
            it.source.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, v TEXT)")
            it.source.execute(
                f"INSERT INTO t SELECT i, 'row ' || i FROM generate_series(1, {ROWS}) AS i"
            )
            it.source.execute("ANALYZE t")
            it.audit()
            it.control.start("nightly")
            assert it.until_ended().state is State.COMPLETED, it.messages()
            sums = "SELECT count(*), sum(hashtext(id || v)) FROM t"
            assert it.target.execute(sums) == it.source.execute(sums)
            noted = it.target.execute("SELECT sum(n), max(n) FROM copied_chunks")
            assert noted[0][0] == ROWS
            assert chunk_rows is None or noted[0][1] <= chunk_rows
