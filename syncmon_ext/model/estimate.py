"""The estimates of a run — speed, ETA, stall — as pure functions of its samples."""

from __future__ import annotations

from syncmon_ext.model.eta import Eta, UnitWork, eta
from syncmon_ext.model.speed import Pace, Sample, observe, pace_of, speed, speed_bytes
from syncmon_ext.model.stall import stalled_seconds

__all__ = [
    "Eta",
    "Pace",
    "Sample",
    "UnitWork",
    "eta",
    "observe",
    "pace_of",
    "speed",
    "speed_bytes",
    "stalled_seconds",
]
