"""A bound that comes in the middle of a chunk is felt in it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from syncmon_ext.model.chunk import Chunk
from syncmon_ext.model.state import State
from syncmon_ext.services.task_progress import TaskProgress
from syncmon_ext.sync import throttle
from tests.faults.harness import rig
from tests.sync.copying import Copy
from tests.sync.databases import Maker

ROWS = 1_000_000


class Change:
    """No bound at first, then one, then none again."""

    def __init__(self, bound: tuple[float, float]) -> None:
        self.bound = bound
        self.now = (0.0, 0.0)

    def rates(self) -> tuple[float, float]:
        return self.now


def test_bound_breaks_a_statement_of_sqlite_off(database: Maker) -> None:
    source, target = database("sqlite"), database("sqlite")
    source.run(
        "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, v TEXT)",
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
        f"WHERE i < {ROWS}) INSERT INTO t SELECT i, 'v' || i FROM n",
    )
    copy = Copy(source, target, tables=["t"], verify="count")
    pace = Change((100.0, 0.0))
    throttle.set_pace(pace)
    spent: list[float] = []
    began = time.monotonic()
    try:
        with copy.claimed():
            unit = copy.units[0]
            mark = copy.prepare(unit)

            def bound() -> None:
                pace.now = pace.bound
                spent.append(time.monotonic() - began)

            timer = threading.Timer(0.1, bound)
            timer.start()

            slept = throttle.Pacer.spend
            moments: list[float] = []

            def spend(self: throttle.Pacer, rows: int, size_bytes: int) -> float:
                moments.append(time.monotonic() - began)
                pace.now = (0.0, 0.0)  # felt: let it go
                return slept(self, rows, size_bytes)

            throttle.Pacer.spend = spend  # type: ignore[method-assign]
            try:
                # A range, since a whole table is moved by other means.
                copy.copy(unit, Chunk(low=[ROWS - 1], high=mark.upper))
                result = copy.copy(unit, Chunk(low=None, high=[ROWS - 1]))
            finally:
                throttle.Pacer.spend = slept  # type: ignore[method-assign]
                timer.join()
            assert result.rows == ROWS - 1
            assert moments[0] - spent[0] < 2.0, "the bound was not felt within 2 s"
            copy.swap(unit)
    finally:
        throttle.set_pace(None)
    assert target.query("SELECT count(*), sum(id) FROM t") == [(ROWS, ROWS * (ROWS + 1) // 2)]


def test_chunks_in_flight_share_the_bound(tmp_path: Path) -> None:
    rate, size = 3_000, 1_000
    options = {"throttle": {"rows": rate}, "chunk_rows": size}
    with rig(tmp_path, "sqlite-postgresql", flights=24_000, **options) as it:
        it.control.start("nightly")
        assert it.until_ended().state is State.COMPLETED, it.messages()
        read = TaskProgress(it.store, it.catalog)
        samples = [sample for page in read.history_batches("nightly", None) for sample in page]
        moving = [sample for sample in samples if 0 < (sample.overall_progress or 0.0) < 99.9]
        rows = moving[-1].rows_committed - moving[0].rows_committed
        seconds = moving[-1].elapsed_seconds - moving[0].elapsed_seconds
        # What two chunks had read before the first sample may have been committed after it.
        assert (rows - 2 * size) / seconds <= rate
