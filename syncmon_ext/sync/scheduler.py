"""Runs a plan: hands jobs to the pool, folds their answers into the units, and obeys commands.

It touches no source and no target itself, so it answers within its beat whatever a database does.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, wait
from functools import partial
from typing import Any, Final

from syncmon_ext.model.chunk import Chunk
from syncmon_ext.model.log import Level
from syncmon_ext.model.plan import Plan
from syncmon_ext.model.state import State, UnitState
from syncmon_ext.model.task import TaskSpec
from syncmon_ext.model.unit import UnitRuntime
from syncmon_ext.store.columns import utc_now
from syncmon_ext.store.runs import FrozenRun
from syncmon_ext.sync import batches, claiming, jobs, sampling
from syncmon_ext.sync.attempts import attempted
from syncmon_ext.sync.carrier import Carrier
from syncmon_ext.sync.gauge import Gauge
from syncmon_ext.sync.open_jobs import OpenJobs
from syncmon_ext.sync.outcomes import Outcomes
from syncmon_ext.sync.ownership import Ownership
from syncmon_ext.sync.placement import Placement
from syncmon_ext.sync.pool import ChildPool
from syncmon_ext.sync.recorder import Recorder
from syncmon_ext.sync.results import UnitMark
from syncmon_ext.sync.unit_copy import Gap, UnitCopy

BEAT_SECONDS: Final = 0.1
# For the chunks in flight to commit, on pause and stop: hearing of it, cancelling, recording and showing
# take some tenths each, and a person sees "paused" in less than 2 s.
GRACE_SECONDS: Final = 1.0
END_SECONDS: Final = 2.0  # for the backends of jobs on other machines
MANY_TABLES: Final = 500  # a job over more of them leaves a child that is larger than a new one
WALK_AHEAD: Final = 4  # chunks per slot whose bounds are known in advance


class Interrupted(Exception):  # a command, not an error
    """A command or a signal asks the scheduler to end what it does."""


class Scheduler:
    """One run's execution by this worker."""

    def __init__(
        self,
        frozen: FrozenRun,
        own: Ownership,
        recorder: Recorder,
        pool: ChildPool,
        carrier: Carrier,
        gauge: Gauge,
        must_end: Callable[[], bool],
    ) -> None:
        self._frozen = frozen
        self._own = own
        self._recorder = recorder
        self._pool = pool
        self._carrier = carrier
        self._gauge = gauge
        self._must_end = must_end
        self._units: list[UnitCopy] = []
        self._by_id: dict[str, UnitCopy] = {}
        self._left: deque[UnitCopy] = deque()  # from the first one on that has not ended
        self._outcomes = Outcomes(recorder, gauge)
        self._open_jobs = OpenJobs(pool, self._outcomes)
        self._placement = Placement(
            frozen.target, own, self._by_id, self._open_jobs, self._outcomes
        )
        self._solitary = False  # the chunk in flight runs alone
        self.snapshot: str | None = None
        self.renew_snapshot: Callable[[], str | None] = lambda: None
        self.doubted: set[str] = set()  # ids of units that the target had more of before

    @property
    def spec(self) -> TaskSpec:
        """The task as the run froze it."""
        return self._frozen.spec

    @property
    def units(self) -> list[UnitCopy]:
        """The units of the run, in the order of copying."""
        return self._units

    def waits(self) -> list[tuple[str, float]]:
        """What the jobs wait for, and for how many seconds, the longest first."""
        return sorted([*self._pool.waits(), *self._carrier.waits()], key=lambda wait: -wait[1])

    def obey(self) -> None:
        """Raise Interrupted where a command, a signal or a newer owner says so."""
        if (
            self._recorder.fenced
            or self._must_end()
            or self._recorder.command in (State.PAUSING, State.STOPPING)
        ):
            raise Interrupted

    def submit(self, label: str, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Begin a job over the whole task; where its tables are many, its child ends with it."""
        many = len(self.spec.tables) > MANY_TABLES
        submit = self._pool.submit_last if many else self._pool.submit
        return submit(attempted, label, function, *arguments)

    def call(self, label: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run one job over the whole task and wait for it, obeying commands meanwhile."""
        future = self.submit(label, function, *arguments)
        while not future.done():
            self.obey()
            wait([future], timeout=BEAT_SECONDS)
            self._gauge.refresh(self._units, self.waits())
        return future.result()

    def take_plan(self, plan: Plan, runtimes: dict[str, UnitRuntime]) -> None:
        """Make the units of the plan; those that ended in an earlier life of the run stay ended."""
        for unit in plan.units:
            if unit.unit_id not in runtimes:
                continue
            copy = UnitCopy(unit, runtimes[unit.unit_id])
            copy.alone = unit.unit_id in self.doubted
            only = self._frozen.only_units
            if only is not None and unit.unit_id not in only:
                if not copy.ended:
                    copy.change(state=UnitState.SKIPPED, error="not asked for: only failed tables")
            elif copy.runtime.state is not UnitState.COMPLETED:
                copy.change(
                    state=UnitState.PENDING,
                    table=unit.source_table
                    if unit.source_schema is None
                    else f"{unit.source_schema}.{unit.source_table}",
                    target_table=unit.target_table
                    if unit.target_schema is None
                    else f"{unit.target_schema}.{unit.target_table}",
                    rows_total=unit.rows_total,
                    rows_total_is_estimate=unit.rows_total_is_estimate,
                    error=None,
                    hint=None,
                    finished_at=None,
                )
            self._units.append(copy)
            self._by_id[unit.unit_id] = copy
            self._outcomes.save(copy)
        for copy in self._units:
            if copy.plan.refusal is not None and not copy.ended:
                self._outcomes.fail(copy, *copy.plan.refusal)

    def run(self) -> None:
        """Copy every unit that is not ended; returns when all are. Raises Interrupted."""
        self._left = deque(self._units)
        while True:
            while self._left and self._left[0].ended:
                self._left.popleft()
            if not self._left:
                return
            self.obey()
            if self._outcomes.snapshot_lost and not self._open_jobs:
                self._go_on_in_a_new_snapshot()
            if not self._outcomes.snapshot_lost:
                self._dispatch()
            # Not before: a chunk whose neighbour has just ended would have the whole rate for itself, and
            # keep it beside the next one.
            self._gauge.share_rates()
            self._open_jobs.collect(BEAT_SECONDS)
            self._gauge.refresh(self._units, self.waits())
            if (error := self._outcomes.unresolved) is not None:
                self._outcomes.unresolved = None
                raise error

    def _go_on_in_a_new_snapshot(self) -> None:
        had_one = self.snapshot is not None
        self.snapshot = self.renew_snapshot()
        self._outcomes.snapshot_lost = False
        for copy in self._units:
            if copy.prepared and not copy.ended:
                copy.ask_again()
        self._recorder.log(
            Level.WARNING,
            "the snapshot of the source was lost: what is copied from here on is read in a newer one"
            if had_one
            else "the source was changed while it was read: its tables are looked at anew",
        )

    def drain(self) -> None:
        """End what is in flight; nothing runs afterwards.

        It gets a second to commit, but for chunks of a run that is stopped: what they commit is thrown away.
        """
        deadline = time.monotonic() + GRACE_SECONDS
        while self._open_jobs and time.monotonic() < deadline and not self._recorder.fenced:
            if self._recorder.command is State.STOPPING and not self._swapping():
                break
            self._open_jobs.collect(BEAT_SECONDS)
        self._pool.kill()
        if self._carrier.take_back() and not self._recorder.fenced:
            self._end_jobs()
        self._open_jobs.forget()
        self._solitary = False

    def _end_jobs(self) -> None:
        """End in the target what runs on other machines; where it does not answer, that is left to whoever
        takes the run up."""
        job = self._pool.submit(claiming.end_jobs, self._frozen.target, self._own)
        deadline = time.monotonic() + END_SECONDS
        while not job.done() and time.monotonic() < deadline:
            wait([job], timeout=BEAT_SECONDS)
            self._gauge.refresh(self._units, self.waits())
        if not job.done():
            self._pool.kill()

    def _swapping(self) -> bool:
        return any(copy.busy and copy.runtime.state is UnitState.SWAPPING for copy in self._left)

    def mark_unfinished(self, state: UnitState) -> None:
        """Show the units that have not ended in ``state``."""
        for copy in self._units:
            if not copy.ended and copy.runtime.state is not UnitState.PENDING:
                copy.change(state=state, speed=None, eta_seconds=None)
                self._outcomes.save(copy)
        self._gauge.refresh(self._units, [], force=True)

    def keep_completed(self, placed: set[str]) -> None:
        """Fail the units that are completed and not among those that the target has in place."""
        for copy in self._units:
            if copy.runtime.state is UnitState.COMPLETED and copy.plan.unit_id not in placed:
                self._outcomes.lose(copy)

    # -- what to do next ---------------------------------------------------------------------

    def _dispatch(self) -> None:
        limit = 1 if self._solitary else self._gauge.slots
        most = self._batch_rows()
        active = 0
        for copy in self._left:
            if copy.ended or self._blocked(copy):
                continue
            if active >= limit:
                break
            if copy.in_batch:
                continue
            if most and batches.fits(copy, most):
                if self._gauge.in_flight < limit:
                    self._copy_together(batches.gathered(self._left, most), most)
                    continue
                break  # there is no slot for the next batch, and its turn is now
            active += 1
            if not copy.prepared and not copy.busy:
                self._prepare(copy)
            if copy.prepared and not copy.busy and copy.gaps and self._wants_walk(copy):
                self._walk(copy)
            while copy.ready and self._gauge.in_flight < limit:
                if copy.plan.large_values:
                    if not self._gauge.in_flight:
                        self._solitary = True
                        self._copy(copy, copy.ready.popleft())
                    return  # nothing else begins until what is in flight has ended
                self._copy(copy, copy.ready.popleft())
            if copy.copied:
                active -= 1  # it waits for others, or is put in place: a slot is free for the next
                self._placement.advance(copy)

    def _batch_rows(self) -> int:
        """How many rows a table may have at most to be copied in a batch; 0 where there are no batches."""
        throttle = self._recorder.throttle
        if throttle is not None and (throttle.rows or throttle.bytes):
            return 0  # a batch could not be held back
        return min(batches.TABLE_ROWS, self.spec.chunk_rows or batches.TABLE_ROWS)

    def _copy_together(self, batch: list[UnitCopy], rows: int) -> None:
        now = utc_now()
        for copy in batch:
            copy.begin_in_batch(now)
            self._outcomes.save(copy)
        self._gauge.in_flight += 1
        self._gauge.share_rates()
        future = self._carrier.carry(
            batch[0].plan.unit_id,
            jobs.batch,
            self._frozen.source,
            self._frozen.target,
            self._own,
            [copy.plan for copy in batch],
            rows,
            self.snapshot,
        )
        self._open_jobs.add(future, partial(self._copied_together, batch))

    def _copied_together(self, batch: list[UnitCopy], future: Future[Any]) -> None:
        self._gauge.in_flight -= 1
        self._outcomes.batch(batch, future)

    def _wants_walk(self, copy: UnitCopy) -> bool:
        return len(copy.ready) < WALK_AHEAD * self._gauge.slots

    def _blocked(self, copy: UnitCopy) -> bool:
        """Skip a unit whose parent failed; its rows would have nothing to refer to."""
        for parent_id in copy.plan.depends_on:
            parent = self._by_id.get(parent_id)
            if parent is not None and parent.runtime.state in (
                UnitState.FAILED,
                UnitState.SKIPPED,
            ):
                copy.change(
                    state=UnitState.SKIPPED,
                    error=f"skipped: it needs the rows of {parent_id}, which failed",
                    hint=f"mend {parent_id} and start again: both are resumed",
                    finished_at=utc_now(),
                )
                self._outcomes.save(copy)
                self._recorder.log(Level.WARNING, str(copy.runtime.error), copy.plan.unit_id)
                return True
        return False

    def _prepare(self, copy: UnitCopy) -> None:
        copy.change(
            state=UnitState.RUNNING,
            attempt=copy.runtime.attempt + 1,
            started_at=copy.runtime.started_at or utc_now(),
        )
        self._outcomes.save(copy)
        arguments = (self._frozen.source, self._frozen.target, self._own, copy.plan, self.snapshot)
        doubted = copy.plan.unit_id in self.doubted
        self._open_jobs.begin_for(
            copy, partial(self._prepared, copy), jobs.prepare, *arguments, doubted
        )

    def _prepared(self, copy: UnitCopy, mark: UnitMark) -> None:
        self.doubted.discard(copy.plan.unit_id)
        self._outcomes.prepared(copy, mark)

    def _walk(self, copy: UnitCopy) -> None:
        gap = copy.gaps.popleft()
        rows = self._gauge.chunk_rows(copy, self.spec.chunk_rows)
        if (whole := copy.single_chunk(gap, rows)) is not None:
            self._walked(copy, gap, [whole])
            return
        # A bound that a person has set on the rows of a chunk is kept to the row.
        roughly = self.spec.chunk_rows is None and sampling.fits(copy.plan, rows)
        ahead = sampling.AHEAD if roughly else WALK_AHEAD * self._gauge.slots
        self._open_jobs.begin_for(
            copy,
            partial(self._walked, copy, gap),
            jobs.walk,
            self._frozen.source,
            copy.plan,
            gap[0],
            gap[1],
            self._gauge.chunk_sizes(copy, self.spec.chunk_rows, ahead),
            self.snapshot,
            roughly,
        )

    def _walked(self, copy: UnitCopy, gap: Gap, chunks: list[Chunk]) -> None:
        copy.take_walk(gap, chunks)

    def _copy(self, copy: UnitCopy, chunk: Chunk) -> None:
        copy.in_flight.append(chunk)
        self._gauge.in_flight += 1
        self._gauge.share_rates()
        future = self._carrier.carry(
            copy.plan.unit_id,
            jobs.copy,
            self._frozen.source,
            self._frozen.target,
            self._own,
            copy.plan,
            chunk,
            self.snapshot,
            # The driver keeps what it took for the largest row: the child ends with such a chunk.
            last=copy.plan.large_values,
        )
        self._open_jobs.add(future, partial(self._copied, copy, chunk))

    def _copied(self, copy: UnitCopy, chunk: Chunk, future: Future[Any]) -> None:
        copy.in_flight.remove(chunk)
        self._solitary = False
        self._gauge.in_flight -= 1
        self._outcomes.copied(copy, chunk, future)
