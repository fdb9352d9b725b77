"""A progress sample: a point of a run's history."""

from __future__ import annotations

from datetime import datetime

import msgspec


class HistorySample(msgspec.Struct, frozen=True, kw_only=True):
    """How far a run was at a time. ``speed`` is rows/s; ``elapsed_seconds`` excludes pauses."""

    task_id: str
    run_id: str
    time: datetime  # UTC
    elapsed_seconds: float
    rows_committed: int
    bytes_committed: int
    overall_progress: float | None
    speed: float | None
    speed_bytes: float | None
