"""Measures a run as it goes: its pace, what limits it, what it waits for, and how big chunks may be."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from syncmon_ext.model.chunk import ChunkResult
from syncmon_ext.model.estimate import (
    Pace,
    Sample,
    eta,
    observe,
    speed,
    speed_bytes,
    stalled_seconds,
)
from syncmon_ext.model.progress import totals
from syncmon_ext.model.speed import FLOOR_SECONDS
from syncmon_ext.model.state import UnitState
from syncmon_ext.sync.carrier import Carrier
from syncmon_ext.sync.recorder import Recorder
from syncmon_ext.sync.unit_copy import UnitCopy

REFRESH_SECONDS: Final = 0.3
CHUNK_SECONDS: Final = (
    2.0  # what a chunk should take: little is lost with it, and a commit is cheap
)
FIRST_ROWS: Final = 20_000  # before the pace is known
LAST_ROWS: Final = 40_000  # where a table ends: what a slot may have to wait for
LEAST_ROWS: Final = 100
MOST_ROWS: Final = 100_000
# SQLite holds no row of a chunk in memory, and a commit costs it as much as many rows.
LARGEST_ROWS: Final = {
    "sqlite_sqlite": 10_000_000,
    "postgresql_sqlite": 500_000,
    "postgresql_postgresql": 250_000,
}
WAIT_SHOWN_SECONDS: Final = 3.0  # a shorter wait is a database at work
RECENT_CHUNKS: Final = 20
WIDEST_RANGE: Final = 6.0
WIDEST_SECONDS: Final = 30.0
AT_THE_LIMIT: Final = 0.85  # of a throttle: nearer than this, it is what limits


class Gauge:
    """The figures of one run in this worker's hands."""

    def __init__(
        self,
        recorder: Recorder,
        carrier: Carrier,
        *,
        slots: int,
        elapsed_seconds: float,
        overall_progress: float | None,
    ) -> None:
        self._recorder = recorder
        self._carrier = carrier
        self._base = elapsed_seconds
        self._began = time.monotonic()
        self._floor = overall_progress or 0.0
        self._pace = Pace()
        self._recent: deque[ChunkResult] = deque(maxlen=RECENT_CHUNKS)
        self._last_refresh = float("-inf")
        self._last_news = time.monotonic()
        self._moved: float | None = None  # running seconds when a chunk came further, uncommitted
        self._swap_seconds = 0.0
        self._swap_mark: float | None = None
        self.slots = slots  # chunks that may be in flight at a time
        self.in_flight = 0

    def elapsed(self) -> float:
        """Running seconds of the run, pauses excluded, over all its workers."""
        return self._base + time.monotonic() - self._began

    def count(self, result: ChunkResult) -> None:
        """Note a committed chunk."""
        self._recent.append(result)
        self._last_news = time.monotonic()

    def move(self) -> None:
        """Note that a chunk in flight has come further, as one does that finds bad rows: no stall."""
        self._moved = self.elapsed()
        self._last_news = time.monotonic()

    def chunk_rows(self, copy: UnitCopy, wanted: int | None) -> int:
        """How many rows the unit's next chunks should hold, so that each takes about two seconds; no more
        than ``wanted``, where a person has said so."""
        throttle = self._recorder.throttle
        held_back = throttle is not None and (throttle.rows or throttle.bytes)
        if copy.at_once and copy.runtime.rows_total and wanted is None and not held_back:
            return copy.runtime.rows_total
        upper = wanted or LARGEST_ROWS.get(copy.plan.route, MOST_ROWS)
        rows = float(FIRST_ROWS)
        if copy.chunk_rate:
            rows = copy.chunk_rate * CHUNK_SECONDS
        if throttle and throttle.rows:
            rows = min(rows, throttle.rows / self.slots * CHUNK_SECONDS / 2)
        if throttle and throttle.bytes and copy.runtime.rows_committed:
            width = max(1.0, copy.runtime.bytes_committed / copy.runtime.rows_committed)
            rows = min(rows, throttle.bytes / width / self.slots * CHUNK_SECONDS / 2)
        return max(min(LEAST_ROWS, upper), min(upper, int(rows)))

    def chunk_sizes(self, copy: UnitCopy, wanted: int | None, count: int) -> list[int]:
        """The rows of the unit's next ``count`` chunks: those at the end are small, so that no slot is
        idle for long while another one copies the last."""
        most = self.chunk_rows(copy, wanted)
        total = copy.runtime.rows_total
        if total is None or self.slots == 1:
            return [most] * count
        left = total - copy.runtime.rows_committed - copy.rows_ahead
        sizes = []
        for _ in range(count):
            share = max(LAST_ROWS, left // (2 * self.slots))
            sizes.append(min(most, share))
            left -= sizes[-1]
        return sizes

    def share_rates(self) -> None:
        """Divide the throttle among the chunks in flight; to be called before another one begins."""
        throttle = self._recorder.throttle
        share = max(1, self.in_flight)
        self._carrier.set_rates(
            (throttle.rows or 0) / share if throttle else 0.0,
            (throttle.bytes or 0) / share if throttle else 0.0,
        )

    def refresh(
        self, units: Sequence[UnitCopy], waits: list[tuple[str, float]], *, force: bool = False
    ) -> None:
        """Hand the run's figures to the recorder, at most three times a second unless forced."""
        now = time.monotonic()
        if now - self._last_refresh < REFRESH_SECONDS and not force:
            return
        self._last_refresh = now
        elapsed = self.elapsed()
        self._note_swaps(units, elapsed)
        copying = any(copy.prepared for copy in units)
        sums = totals([copy.runtime for copy in units], self._floor)
        self._floor = max(self._floor, sums.overall_progress or 0.0)
        if copying:  # connecting and planning say nothing about the pace
            self._pace = observe(
                self._pace,
                Sample(
                    seconds=elapsed,
                    rows=sums.rows_committed,
                    bytes=sums.bytes_committed,
                    swap_seconds=self._swap_seconds,
                ),
            )
        stalled = stalled_seconds(self._pace, elapsed) if self.in_flight else 0.0
        if self._moved is not None:
            stalled = min(stalled, max(0.0, elapsed - self._moved - FLOOR_SECONDS))
        left = None  # in a stall nothing is known of the time left
        if units and not stalled:
            left = eta(self._pace, [copy.work() for copy in units], elapsed)
        if left is not None and left.high > WIDEST_RANGE * left.mid + WIDEST_SECONDS:
            left = None  # so wide a range tells a person nothing
        waiting = waits[0] if waits and waits[0][1] >= WAIT_SHOWN_SECONDS else None
        if now - self._last_news < WAIT_SHOWN_SECONDS:
            waiting = None
        for copy in units:
            if copy.runtime.state is UnitState.RUNNING:
                copy.observe(elapsed)
                if stalled:
                    copy.change(speed=0.0, eta_seconds=None)
                self._recorder.save_unit(copy.runtime)
        values: dict[str, Any] = {
            "elapsed_seconds": elapsed,
            "stalled_seconds": stalled,
            "waiting_for": waiting[0] if waiting else None,
            "limited_by": self._limited_by(),
        }
        if units:
            values |= {
                "total_tables": sums.total_tables,
                "completed_tables": sums.completed_tables,
                "failed_tables": sums.failed_tables,
                "current_table": sums.current_table,
                "current_table_progress": sums.current_table_progress,
                "rows_total": sums.rows_total,
                "rows_total_is_estimate": sums.rows_total_is_estimate,
                "rows_committed": sums.rows_committed,
                "bytes_committed": sums.bytes_committed,
                "overall_progress": sums.overall_progress,
                "speed": speed(self._pace, elapsed),
                "speed_bytes": speed_bytes(self._pace, elapsed),
                "eta_seconds": left.mid if left else None,
                "eta_low_seconds": left.low if left else None,
                "eta_high_seconds": left.high if left else None,
            }
        self._recorder.save_totals(**values)

    def _note_swaps(self, units: Sequence[UnitCopy], elapsed: float) -> None:
        swapping = not self.in_flight and any(
            copy.runtime.state is UnitState.SWAPPING for copy in units
        )
        if self._swap_mark is not None:
            self._swap_seconds += elapsed - self._swap_mark
        self._swap_mark = elapsed if swapping else None

    def _limited_by(self) -> str | None:
        """Where the time of the recent chunks went; the throttle where the pace is at its bound."""
        throttle, elapsed = self._recorder.throttle, self.elapsed()
        if throttle is not None:
            for bound, rate in (
                (throttle.rows, speed(self._pace, elapsed)),
                (throttle.bytes, speed_bytes(self._pace, elapsed)),
            ):
                if bound and rate and rate >= AT_THE_LIMIT * bound:
                    return "throttle"
        if not self._recent:
            return None
        shares = {
            "source": sum(r.source_seconds for r in self._recent),
            "transfer": sum(r.transfer_seconds for r in self._recent),
            "target": sum(r.target_seconds for r in self._recent),
        }
        return max(shares, key=lambda name: shares[name])
