"""The figures of loops as they go: speed, time left, stall."""

from __future__ import annotations

import threading
from typing import Final

import msgspec

from syncmon_ext.model.estimate import (
    Eta,
    Pace,
    Sample,
    UnitWork,
    eta,
    observe,
    speed,
    stalled_seconds,
)

SAMPLE_SECONDS: Final = 1.0  # of the loop's own clock, between two points of its history


class LoopFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What a report tells beyond its numbers. ``speed`` is iterations/s."""

    speed: float | None
    left: Eta | None
    stalled_seconds: float
    is_sample: bool  # it is time for a point of the history


class LoopPaces:
    """Remembers the pace of each loop; after a restart it is learnt anew."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._paces: dict[str, Pace] = {}
        self._sampled: dict[str, float] = {}

    def measure(
        self, run_id: str, rows: int, total: int | None, elapsed_seconds: float
    ) -> LoopFigures:
        """The figures of a run after ``elapsed_seconds``, pauses excluded."""
        with self._lock:
            pace = self._paces.get(run_id, Pace())
            pace = observe(pace, Sample(seconds=elapsed_seconds, rows=rows, bytes=0))
            self._paces[run_id] = pace
            is_sample = elapsed_seconds - self._sampled.get(run_id, -1e9) >= SAMPLE_SECONDS
            if is_sample:
                self._sampled[run_id] = elapsed_seconds
        work = UnitWork(rows_total=None if total is None else max(total, rows), rows_committed=rows)
        stalled = stalled_seconds(pace, elapsed_seconds)
        return LoopFigures(
            speed=speed(pace, elapsed_seconds),
            left=None if stalled else eta(pace, [work], elapsed_seconds),
            stalled_seconds=stalled,
            is_sample=is_sample,
        )

    def forget(self, run_id: str) -> None:
        """Drop the memory of a run that ended."""
        with self._lock:
            self._paces.pop(run_id, None)
            self._sampled.pop(run_id, None)
