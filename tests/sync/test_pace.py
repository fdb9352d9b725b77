"""A bound that comes in the middle of a chunk is felt in it."""

from __future__ import annotations

import threading
import time

from syncmon_ext.model.chunk import Chunk
from syncmon_ext.sync import throttle
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
