"""A unit runtime: one table in one run, as its copy updates it."""

from __future__ import annotations

from datetime import datetime

import msgspec

from syncmon_ext.model.state import UnitState


class UnitRuntime(msgspec.Struct, frozen=True, kw_only=True):
    """A row of ``task_unit_runtimes``, and an entry of ``progress.units`` on the wire.

    ``progress`` is 0-100, None where the total is unknown. ``speed`` is rows/s.
    """

    unit_id: str
    table: str
    target_table: str
    state: UnitState
    progress: float | None
    rows_total: int | None
    rows_total_is_estimate: bool
    rows_committed: int
    bytes_committed: int
    speed: float | None
    eta_seconds: float | None
    chunks_total: int | None
    chunks_committed: int
    attempt: int
    started_at: datetime | None
    finished_at: datetime | None
    error: str | None
    hint: str | None = None
