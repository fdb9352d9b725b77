"""The progress object: what a person, a page and a program see of a task."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from syncmon_ext.model.state import State, UnitState
from syncmon_ext.model.task import Kind
from syncmon_ext.model.unit import UnitRuntime

BEFORE_LAST_SWAP = 99.9  # percent: 100 is said only when the last row is in place


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a task and how far its newest run is.

    Counts are rows committed in the target, never more; of a loop, iterations done. Percentages are
    0-100, None where the total is unknown; ``speed`` is rows/s, ``speed_bytes`` bytes/s; ``_seconds``
    are seconds.
    """

    task_id: str
    run_id: str | None
    name: str
    state: State
    overall_progress: float | None
    total_tables: int
    completed_tables: int
    failed_tables: int
    current_table: str | None
    current_table_progress: float | None
    rows_total: int | None
    rows_total_is_estimate: bool
    rows_committed: int
    bytes_committed: int
    speed: float | None
    speed_bytes: float | None
    eta_seconds: float | None
    eta_low_seconds: float | None
    eta_high_seconds: float | None
    elapsed_seconds: float
    stalled_seconds: float
    waiting_for: str | None
    consistency: str | None
    limited_by: str | None
    started_at: datetime | None
    finished_at: datetime | None
    updated_at: datetime | None
    error: str | None
    hint: str | None
    units: list[UnitRuntime]
    units_partial: bool = False
    kind: Kind = Kind.COPY


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """The sums over a run's units."""

    total_tables: int
    completed_tables: int
    failed_tables: int
    current_table: str | None
    current_table_progress: float | None
    rows_total: int | None
    rows_total_is_estimate: bool
    rows_committed: int
    bytes_committed: int
    overall_progress: float | None


def unit_progress(state: UnitState, rows_committed: int, rows_total: int | None) -> float | None:
    """Percent of a unit: 100 only once it is in place, None while its total is unknown."""
    if state is UnitState.COMPLETED:
        return 100.0
    if rows_total is None:
        return None
    if rows_total <= 0:
        return 0.0
    return min(100.0 * rows_committed / rows_total, BEFORE_LAST_SWAP)


def totals(units: Sequence[UnitRuntime], floor: float = 0.0) -> Totals:
    """The sums over ``units``; ``floor`` is the highest overall progress shown so far in the run.

    A unit of unknown size makes the whole unknown, unless every unit has ended. Progress never falls
    within a run, and stays below 100 until every unit has completed.
    """
    completed = sum(u.state is UnitState.COMPLETED for u in units)
    current = next(
        (u for u in units if u.state is UnitState.SWAPPING),
        None,
    ) or next((u for u in units if u.state is UnitState.RUNNING), None)
    committed = sum(u.rows_committed for u in units)
    known = all(u.rows_total is not None for u in units)
    total = sum(u.rows_total or 0 for u in units) if known else None
    overall: float | None
    if units and completed == len(units):
        overall = 100.0
    elif total is None:
        overall = floor if floor > 0 else None
    elif total == 0:
        overall = (
            max(floor, min(100.0 * completed / len(units), BEFORE_LAST_SWAP)) if units else 0.0
        )
    else:
        overall = max(floor, min(100.0 * committed / total, BEFORE_LAST_SWAP))
    return Totals(
        total_tables=len(units),
        completed_tables=completed,
        failed_tables=sum(u.state in (UnitState.FAILED, UnitState.SKIPPED) for u in units),
        current_table=current.table if current else None,
        current_table_progress=current.progress if current else None,
        rows_total=total,
        rows_total_is_estimate=any(u.rows_total_is_estimate for u in units),
        rows_committed=committed,
        bytes_committed=sum(u.bytes_committed for u in units),
        overall_progress=overall,
    )
