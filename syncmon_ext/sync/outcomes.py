"""Outcomes: what jobs came to, folded into the units and said in the log."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, Final

import msgspec

from syncmon_ext.model import words
from syncmon_ext.model.chunk import Chunk, ChunkResult
from syncmon_ext.model.errors import (
    DatabaseUnavailable,
    FenceLost,
    SecretUnresolved,
    SnapshotLost,
    SourceExchanged,
    SyncmonError,
)
from syncmon_ext.model.log import Level, with_hint
from syncmon_ext.model.state import UnitState
from syncmon_ext.model.task import Consistency, Mode, Verify
from syncmon_ext.store.columns import utc_now
from syncmon_ext.sync.chunk_copy import bounds
from syncmon_ext.sync.faults import FaultInjected
from syncmon_ext.sync.gauge import Gauge
from syncmon_ext.sync.pool import ChildDied
from syncmon_ext.sync.preparing import SET_BACK
from syncmon_ext.sync.recorder import Recorder
from syncmon_ext.sync.results import BatchResult, SwapResult, UnitMark
from syncmon_ext.sync.solitary import RunAlone
from syncmon_ext.sync.throttle import ChunkTooLarge
from syncmon_ext.sync.unit_copy import UnitCopy

REPAIRS: Final = 2  # of chunks whose content differs, until the unit is failed
NAMED_CHUNKS: Final = 10  # in a message
EXCHANGES: Final = 3  # of the file that a unit is read from, until it is failed
CHILD_DEATHS: Final = 3  # in a row, without a chunk between them, until the unit is failed


class Outcomes:
    """Takes the answers of one run's jobs."""

    def __init__(self, recorder: Recorder, gauge: Gauge) -> None:
        self._recorder = recorder
        self._gauge = gauge
        self._child_deaths = 0
        self.unresolved: SecretUnresolved | None = None  # the run is to pause for it
        self.snapshot_lost = False  # no more can be read in the snapshot that the run had

    def answer(
        self, copy: UnitCopy, future: Future[Any], chunk: Chunk | None = None
    ) -> tuple[Any] | None:
        """The job's answer in a tuple; None where it failed, which was dealt with."""
        try:
            return (future.result(),)
        except FenceLost:
            self._recorder.fenced = True  # a newer owner: this worker has nothing more to say
        except ChildDied as death:
            self._child_deaths += 1
            if self._child_deaths > CHILD_DEATHS:
                self.fail(copy, str(death), "see the system's log: is it out of memory?")
            elif chunk is not None:
                copy.ready.appendleft(chunk)  # its checkpoint tells whether it was committed
            else:
                copy.ask_again()
        except ChunkTooLarge:
            if chunk is not None:
                copy.gaps.appendleft((chunk.low, chunk.high))
        except RunAlone:
            copy.plan = msgspec.structs.replace(copy.plan, large_values=True)
            if chunk is not None:
                copy.ready.appendleft(chunk)
        except SnapshotLost as error:
            if isinstance(error, SourceExchanged) and not self.snapshot_lost:
                copy.exchanges += 1  # its other chunks tell of the same one
            if copy.exchanges > EXCHANGES:
                self.fail(copy, f"{copy.plan.unit_id}: {error.message}", error.hint)
                return None
            self.snapshot_lost = True
            if chunk is not None:
                copy.ready.appendleft(chunk)
        except SecretUnresolved as error:
            self.unresolved = error
            if chunk is not None:
                copy.ready.appendleft(chunk)
            else:
                copy.ask_again()
        except SyncmonError as error:
            self.fail(copy, error.message, error.hint)
        except FaultInjected as fault:
            self.fail(copy, f"fault point {fault} was armed with an error", "")
        except Exception as error:
            self.fail(
                copy,
                f"{copy.plan.unit_id}: {type(error).__name__}: {error}",
                "this is a defect of syncmon: please report it with the log",
            )
        return None

    def prepared(self, copy: UnitCopy, mark: UnitMark) -> None:
        """The target has told where the unit stands."""
        copy.take_mark(mark)
        for warning in mark.warnings:
            unit_id = copy.plan.unit_id
            self._recorder.log(Level.WARNING, f"{unit_id}: {warning}", unit_id)
        if mark.restarted:
            self._recorder.log(
                Level.WARNING,
                f"{copy.plan.unit_id}: begun again from its first row, since "
                + (
                    mark.changed
                    or (
                        "the snapshot that it was read in is gone"
                        if copy.plan.consistency is Consistency.SNAPSHOT
                        else "it has no key to resume by"
                    )
                ),
                copy.plan.unit_id,
            )
        elif mark.chunks_committed and not mark.swapped:
            self._recorder.log(
                Level.INFO,
                f"{copy.plan.unit_id}: resumed, {copy.runtime.rows_committed:,} rows were committed "
                f"in {mark.chunks_committed:,} chunks",
                copy.plan.unit_id,
            )
        if mark.swapped:
            self.swapped([copy], [SwapResult(unit_id=mark.unit_id, rows=mark.rows_swapped or 0)])

    def copied(self, copy: UnitCopy, chunk: Chunk, future: Future[Any]) -> None:
        """A chunk's copy has ended; it is committed also where another one has failed the unit."""
        answer = self.answer(copy, future, chunk)
        if answer is None:
            return
        result: ChunkResult = answer[0]
        self._child_deaths = 0
        copy.take_chunk(result, self._gauge.elapsed())
        self._gauge.count(result)
        if copy.ended:
            copy.change(speed=None, eta_seconds=None)
        self.save(copy)

    def batch(self, batch: list[UnitCopy], future: Future[Any]) -> None:
        """Units that one job was to put in place."""
        result = self._batch_result(batch, future)
        placed = dict(result.placed) if result is not None else {}
        for copy in batch:
            unit_id = copy.plan.unit_id
            if (chunk := placed.get(unit_id)) is not None:
                copy.end_batch(chunk, self._gauge.elapsed())
                self._gauge.count(chunk)
                self.swapped([copy], [SwapResult(unit_id=unit_id, rows=chunk.rows)])
            else:
                copy.leave_batch(alone=result is None or unit_id in result.alone)
                self.save(copy)

    def _batch_result(self, batch: list[UnitCopy], future: Future[Any]) -> BatchResult | None:
        """What came of a batch; None where its units are better copied one by one, to see whose fault it
        was."""
        nothing = BatchResult(placed=[], alone=[])
        try:
            result: BatchResult = future.result()
        except FenceLost:
            self._recorder.fenced = True
            return nothing
        except SnapshotLost:
            self.snapshot_lost = True
            return nothing
        except SecretUnresolved as error:
            self.unresolved = error
            return nothing
        except DatabaseUnavailable as error:  # each of them would wait for it as long once more
            for copy in batch:
                self.fail(copy, error.message, error.hint)
            return nothing
        except Exception:
            return None
        self._child_deaths = 0
        return result

    def indexed(self, copy: UnitCopy, bad: list[Chunk]) -> None:
        """Keys and indexes are there; ``bad`` chunks, whose content differs, are no longer committed."""
        copy.indexed = not bad
        if not bad:
            return
        unit_id = copy.plan.unit_id
        named = ", ".join(bounds(chunk) for chunk in bad[:NAMED_CHUNKS])
        more = f" and {len(bad) - NAMED_CHUNKS} more" if len(bad) > NAMED_CHUNKS else ""
        message = (
            f"{unit_id}: the content of {len(bad)} chunks differs from the source: {named}{more}"
        )
        copy.take_back(bad)
        if copy.repairs > REPAIRS:
            self.fail(
                copy, message, f"they were copied again {REPAIRS} times; is the target sound?"
            )
            return
        copy.change(state=UnitState.RUNNING)
        self._recorder.log(Level.WARNING, f"{message}; they are copied again", unit_id)

    def swapped(self, group: list[UnitCopy], results: list[SwapResult]) -> None:
        """Units are in place."""
        rows = {result.unit_id: result.rows for result in results}
        for member in group:
            member.take_swap(rows[member.plan.unit_id], utc_now())
            self.save(member)
            self._recorder.log(
                Level.SUCCESS,
                f"{member.plan.unit_id}: {words.plural(member.runtime.rows_committed, 'row')} copied, "
                f"{'content agrees' if member.plan.verify is Verify.HASH else 'counts agree'}",
                member.plan.unit_id,
            )
            self._compare_counted(member)
        for result in results:
            for warning in result.warnings:
                self._recorder.log(Level.WARNING, f"{result.unit_id}: {warning}", result.unit_id)

    def _compare_counted(self, copy: UnitCopy) -> None:
        """Say where the source's own count was another.

        Rows that were set aside are no difference, nor those that a next run of incremental reads since they
        were changed.
        """
        counted, copied = copy.counted, copy.runtime.rows_committed
        if copy.plan.max_rejects or copy.plan.mode is Mode.INCREMENTAL:
            return
        if counted is None or counted == copied:
            return
        unit_id = copy.plan.unit_id
        self._recorder.log(
            Level.WARNING,
            f"{unit_id}: the source changed while it was copied: {words.plural(counted, 'row')} were counted "
            f"when it began or went on, and {copied:,} were copied",
            unit_id,
        )

    def lose(self, copy: UnitCopy) -> None:
        """The target has not got any more what was in place there."""
        copy.change(state=UnitState.RUNNING)
        hint = "start the task again: what of it can be copied again, is"
        self.fail(copy, f"{copy.plan.unit_id}: {SET_BACK}", hint)

    def fail(self, copy: UnitCopy, message: str, hint: str) -> None:
        """Nothing more is done for the unit in this run."""
        if copy.ended:
            return
        copy.ready.clear()
        copy.change(
            state=UnitState.FAILED,
            error=message,
            hint=hint or None,
            finished_at=utc_now(),
            speed=None,
            eta_seconds=None,
        )
        self.save(copy)
        self._recorder.log(Level.ERROR, with_hint(message, hint), copy.plan.unit_id)

    def save(self, copy: UnitCopy) -> None:
        """Have the store told how the unit stands."""
        self._recorder.save_unit(copy.runtime)
