"""The pace of a run: what its samples tell about rows and bytes per second, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable
from math import exp, isfinite
from typing import NamedTuple

import msgspec

MARKS = 96  # points kept of a run's curve: enough for a trend, whatever the run's length
SMOOTHING_SECONDS = 5.0  # a person reads a number that moves on this scale
SMOOTHING_GAPS = 8.0  # and at least this many commits, so that one commit is no spike
GAP_GAIN = 0.125  # RFC 6298: weight of a new gap in the usual gap,
DEVIATION_GAIN = 0.25  # and in its mean deviation,
DEVIATIONS = 4.0  # and how many deviations beyond the usual are still normal
NORMAL_GAPS = 3.0  # a run with perfectly even commits may still miss two of them
FLOOR_SECONDS = 10.0  # shorter than this, nobody calls it a stall


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What is committed at one moment of a run.

    ``seconds`` is the running time, pauses excluded; ``rows`` and ``bytes`` are committed so far,
    over all units. ``swap_seconds`` are those of ``seconds`` in which tables were put in place
    while no chunk was in flight; 0 where that is not measured.
    """

    seconds: float
    rows: int
    bytes: int
    swap_seconds: float = 0.0


class Mark(NamedTuple):
    """A point of a run's curve: copying seconds, and rows and bytes copied up to then."""

    seconds: float
    rows: int
    bytes: int


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """All that is remembered of a run's samples: its curve in at most 96 points, and decayed sums.

    Rows and bytes count what was *copied*: a retry that makes the committed rows shrink takes
    nothing back here. Seconds are copying seconds, ``seconds − swap_seconds``. Made by ``observe``
    alone.
    """

    latest: Sample | None = None
    marks: tuple[Mark, ...] = ()
    spacing_seconds: float = 0.001  # between two marks; at first only simultaneous commits are one
    recent_seconds: float = 0.0
    recent_rows: float = 0.0
    recent_bytes: float = 0.0
    gap_seconds: float | None = None  # the usual time between two commits
    gap_deviation_seconds: float = 0.0

    @property
    def committed_at_seconds(self) -> float | None:
        """Copying seconds of the newest commit, or of the first sample; None without a sample."""
        return self.marks[-1].seconds if self.marks else None


def observe(pace: Pace, sample: Sample) -> Pace:
    """The pace after one more sample, which may tell of a commit or only of time.

    Call it at each commit or at a fixed beat: both work. A sample from before the newest one is of
    another order of things and changes nothing.
    """
    clock = sample.seconds - sample.swap_seconds
    if not isfinite(clock):
        return pace
    latest = pace.latest
    if latest is None:
        return Pace(latest=sample, marks=(Mark(clock, 0, 0),))
    if sample.seconds < latest.seconds:
        return pace
    rows = max(0, sample.rows - latest.rows)
    size = max(0, sample.bytes - latest.bytes)
    if not rows and not size:
        return msgspec.structs.replace(pace, latest=sample)
    last = pace.marks[-1]
    passed = max(0.0, clock - last.seconds)
    gap, deviation = _usual_gap(pace, passed)
    keep = exp(-passed / max(SMOOTHING_SECONDS, SMOOTHING_GAPS * gap))
    marks, spacing = _thinned(
        pace.marks,
        Mark(last.seconds + passed, last.rows + rows, last.bytes + size),
        pace.spacing_seconds,
    )
    return Pace(
        latest=sample,
        marks=marks,
        spacing_seconds=spacing,
        recent_seconds=pace.recent_seconds * keep + passed,
        recent_rows=pace.recent_rows * keep + rows,
        recent_bytes=pace.recent_bytes * keep + size,
        gap_seconds=gap,
        gap_deviation_seconds=deviation,
    )


def pace_of(samples: Iterable[Sample]) -> Pace:
    """The pace of a run from its samples, oldest first."""
    pace = Pace()
    for sample in samples:
        pace = observe(pace, sample)
    return pace


def speed(pace: Pace, now_seconds: float) -> float | None:
    """Rows per second now, smoothed; None before the first commit that took time.

    Decayed rows over decayed seconds, so that bursts of commits at uneven distances are weighed by
    the time they took. Between two commits the value stands; it sinks once the wait is long, and is
    0.0 once it is longer than is normal for the run: that is a stall. ``now_seconds`` is on the clock
    of ``Sample.seconds``.
    """
    return _rate(pace, pace.recent_rows, now_seconds)


def speed_bytes(pace: Pace, now_seconds: float) -> float | None:
    """Bytes per second now, smoothed as ``speed`` is."""
    return _rate(pace, pace.recent_bytes, now_seconds)


def idle_seconds(pace: Pace, now_seconds: float) -> float:
    """Seconds since the newest commit, swaps excluded; since the first sample while none is."""
    since = pace.committed_at_seconds
    if since is None or pace.latest is None:
        return 0.0
    return max(0.0, max(now_seconds, pace.latest.seconds) - pace.latest.swap_seconds - since)


def normal_gap_seconds(pace: Pace, floor_seconds: float = FLOOR_SECONDS) -> float:
    """The longest wait between two commits that is still normal for this run, at least the floor.

    The usual gap and its mean deviation are learnt as TCP learns a round trip (Jacobson and Karels
    1988, RFC 6298), and bound the wait in the same way.
    """
    gap = pace.gap_seconds or 0.0
    return max(floor_seconds, NORMAL_GAPS * gap, gap + DEVIATIONS * pace.gap_deviation_seconds)


def _rate(pace: Pace, recent: float, now_seconds: float) -> float | None:
    if pace.recent_seconds <= 0:
        return None
    idle = idle_seconds(pace, now_seconds)
    if idle > normal_gap_seconds(pace):
        return 0.0
    late = max(0.0, idle - normal_gap_seconds(pace, SMOOTHING_SECONDS))
    return recent / (pace.recent_seconds + late)


def _usual_gap(pace: Pace, passed: float) -> tuple[float, float]:
    if pace.gap_seconds is None:
        return passed, passed / 2
    # a stall is not what is usual: it counts as the longest gap that was still normal
    passed = min(passed, normal_gap_seconds(pace))
    error = passed - pace.gap_seconds
    deviation = pace.gap_deviation_seconds
    deviation += DEVIATION_GAIN * (abs(error) - deviation)
    return pace.gap_seconds + GAP_GAIN * error, deviation


def _thinned(marks: tuple[Mark, ...], mark: Mark, spacing: float) -> tuple[tuple[Mark, ...], float]:
    """The marks with one more; it replaces the newest while that is too near its elder."""
    if len(marks) > 1 and marks[-1].seconds - marks[-2].seconds <= spacing:
        return (*marks[:-1], mark), spacing
    if len(marks) < MARKS:
        return (*marks, mark), spacing
    spacing = max(2 * spacing, 2 * (mark.seconds - marks[0].seconds) / MARKS)
    kept = [marks[0]]
    for candidate in marks[1:]:
        if candidate.seconds - kept[-1].seconds >= spacing:
            kept.append(candidate)
    return (*kept, mark), spacing
