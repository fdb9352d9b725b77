"""One unit on its way: which ranges are left, which chunks are ready or in flight, what landed."""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import Any

import msgspec

from syncmon_ext.model.chunk import Chunk, ChunkResult, KeyValue
from syncmon_ext.model.estimate import Pace, Sample, UnitWork, observe, speed
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.model.progress import unit_progress
from syncmon_ext.model.state import UNIT_ENDED, UnitState
from syncmon_ext.model.unit import UnitRuntime
from syncmon_ext.sync.results import UnitMark

Gap = tuple[KeyValue | None, KeyValue | None]


def gaps(mark: UnitMark) -> list[Gap]:
    """The complement of the committed ranges below the unit's fixed upper end."""
    if mark.upper is None:  # one chunk, open on both sides
        return [] if mark.committed else [(None, None)]
    left: list[Gap] = []
    cursor: KeyValue | None = None
    for chunk in mark.committed:
        if chunk.low != cursor:
            left.append((cursor, chunk.low))
        cursor = chunk.high
    if cursor != mark.upper:
        left.append((cursor, mark.upper))
    return left


class UnitCopy:
    """The scheduler's memory of one unit."""

    __slots__ = (
        "_before",
        "_uncounted",
        "alone",
        "at_once",
        "busy",
        "chunk_rate",
        "counted",
        "exchanges",
        "gaps",
        "in_batch",
        "in_flight",
        "indexed",
        "pace",
        "plan",
        "prepared",
        "ready",
        "repairs",
        "runtime",
        "swapped",
    )

    def __init__(self, plan: UnitPlan, runtime: UnitRuntime) -> None:
        self.plan = plan
        self.runtime = runtime
        self.prepared = False
        self.busy = False  # a prepare, walk, index or swap job of it is under way, or a batch
        self.alone = False  # no batch takes it
        self.in_batch = False
        self.indexed = False
        self.swapped = False
        self.gaps: deque[Gap] = deque()
        self.ready: deque[Chunk] = deque()
        self.in_flight: list[Chunk] = []
        self.pace = Pace()
        self.chunk_rate: float | None = None  # rows/s of one chunk while it is copied
        self.at_once = False  # the table is moved as one chunk where nothing speaks against it
        self.counted: int | None = None  # rows of the source when it began, or last went on
        self.exchanges = 0  # of the source's file while it was read
        self.repairs = 0  # rounds in which chunks were copied again since their content differed
        self._uncounted = False  # a chunk came without a row count
        self._before = runtime  # a batch began

    @property
    def ended(self) -> bool:
        """Nothing more will be done for it in this run."""
        return self.runtime.state in UNIT_ENDED

    @property
    def walked(self) -> bool:
        """Every chunk's bounds are known."""
        return self.prepared and not self.gaps

    @property
    def copied(self) -> bool:
        """Every chunk is committed."""
        return self.walked and not self.ready and not self.in_flight and not self.busy

    def begin_in_batch(self, now: datetime) -> None:
        """Show that a batch has taken it."""
        self.busy = self.in_batch = True
        self._before = self.runtime
        self.change(state=UnitState.RUNNING, attempt=self.runtime.attempt + 1, started_at=now)

    def leave_batch(self, *, alone: bool) -> None:
        """Nothing came of it: it is as it was before."""
        self.busy = self.in_batch = False
        self.alone = self.alone or alone
        if not self.ended:
            self.runtime = self._before

    def end_batch(self, result: ChunkResult, seconds: float) -> None:
        """All of it was committed as one chunk."""
        self.busy = self.in_batch = False
        self.prepared = self.indexed = True
        self.take_chunk(result, seconds)

    def ask_again(self) -> None:
        """Forget what is left to do: the target is asked where the unit stands."""
        self.prepared = self.indexed = False
        self.gaps.clear()
        self.ready.clear()

    def change(self, **values: Any) -> None:
        """Change the runtime record, and what follows from it."""
        runtime = msgspec.structs.replace(self.runtime, **values)
        self.runtime = msgspec.structs.replace(
            runtime,
            progress=unit_progress(runtime.state, runtime.rows_committed, runtime.rows_total),
        )

    def take_mark(self, mark: UnitMark) -> None:
        """Go on from what the target says is committed: that is the truth, the store's copy a view."""
        self.prepared = True
        self.plan = msgspec.structs.replace(self.plan, window=mark.window, made_of=mark.made_of)
        self.gaps = deque(gaps(mark))
        self.swapped = mark.swapped
        self.at_once = mark.at_once
        self.counted = None if mark.swapped else mark.rows_total
        rows = sum(chunk.rows or 0 for chunk in mark.committed)
        self.change(
            rows_committed=mark.rows_swapped or rows if mark.swapped else rows,
            bytes_committed=sum(chunk.bytes or 0 for chunk in mark.committed),
            chunks_committed=mark.chunks_committed,
        )
        if mark.rows_total is not None:
            self.change(rows_total=mark.rows_total, rows_total_is_estimate=False)
        if self.walked:
            self._know_totals()

    def single_chunk(self, gap: Gap, rows: int) -> Chunk | None:
        """The gap as one chunk where it is a table that was counted and is that small: there is nothing
        to walk."""
        total = None if self.runtime.rows_total_is_estimate else self.runtime.rows_total
        if gap[0] is not None or total is None or total > rows or self.plan.chunk_method == "ctid":
            return None
        return Chunk(low=None, high=gap[1], rows=None if self.plan.where else total)

    @property
    def rows_ahead(self) -> int:
        """The rows of the chunks that are ready or in flight."""
        return sum(chunk.rows or 0 for chunk in (*self.ready, *self.in_flight))

    def take_walk(self, gap: Gap, chunks: list[Chunk]) -> None:
        """Add the chunks that a walk of ``gap`` found; what the walk did not reach stays a gap."""
        self.ready.extend(chunks)
        self._uncounted |= any(chunk.rows is None for chunk in chunks)
        reached = chunks[-1].high if chunks else gap[1]
        if reached != gap[1]:
            self.gaps.appendleft((reached, gap[1]))
        if self.walked:
            self._know_totals()

    def _know_totals(self) -> None:
        self.change(
            chunks_total=self.runtime.chunks_committed + len(self.ready) + len(self.in_flight)
        )
        if not self._uncounted:
            rows = self.runtime.rows_committed + self.rows_ahead
            self.change(rows_total=rows, rows_total_is_estimate=False)

    def take_chunk(self, result: ChunkResult, seconds: float) -> None:
        """Count a committed chunk."""
        rows = self.runtime.rows_committed + result.rows
        total = self.runtime.rows_total
        self.change(
            rows_committed=rows,
            bytes_committed=self.runtime.bytes_committed + result.bytes,
            chunks_committed=self.runtime.chunks_committed + 1,
            rows_total=rows if total is not None and total < rows else total,
        )
        took = result.source_seconds + result.transfer_seconds + result.target_seconds
        if result.rows and took > 0 and not result.replayed:
            rate = result.rows / took
            self.chunk_rate = rate if self.chunk_rate is None else (self.chunk_rate + rate) / 2
        self.observe(seconds)

    def take_back(self, bad: list[Chunk]) -> None:
        """Copy chunks again whose content differs: they are no longer committed."""
        self.repairs += 1
        self.ready.extend(bad)
        self.change(
            rows_committed=self.runtime.rows_committed - sum(chunk.rows or 0 for chunk in bad),
            bytes_committed=self.runtime.bytes_committed - sum(chunk.bytes or 0 for chunk in bad),
            chunks_committed=self.runtime.chunks_committed - len(bad),
        )

    def take_swap(self, rows: int, now: datetime) -> None:
        """The rows are in place."""
        self.swapped = True
        self.change(
            state=UnitState.COMPLETED,
            rows_total=rows,
            rows_total_is_estimate=False,
            rows_committed=rows,
            chunks_total=self.runtime.chunks_committed,
            finished_at=now,
            eta_seconds=None,
            error=None,
            hint=None,
        )

    def observe(self, seconds: float) -> None:
        """Note the pace at ``seconds`` of the run's running time."""
        self.pace = observe(
            self.pace,
            Sample(
                seconds=seconds,
                rows=self.runtime.rows_committed,
                bytes=self.runtime.bytes_committed,
            ),
        )
        rate = speed(self.pace, seconds) if self.runtime.state is UnitState.RUNNING else None
        total = self.runtime.rows_total
        left = None if total is None else max(0, total - self.runtime.rows_committed)
        self.change(speed=rate, eta_seconds=left / rate if rate and left is not None else None)

    def work(self) -> UnitWork:
        """What the run's ETA needs to know about it."""
        return UnitWork(
            rows_total=self.runtime.rows_total,
            rows_committed=self.runtime.rows_committed,
            bytes_committed=self.runtime.bytes_committed,
            width_bytes=self.plan.width_bytes,
            done=self.ended,
            rows_total_is_estimate=self.runtime.rows_total_is_estimate,
        )
