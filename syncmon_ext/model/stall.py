"""The stall of a run: how much longer than is normal nothing has been committed."""

from __future__ import annotations

from syncmon_ext.model.speed import FLOOR_SECONDS, Pace, idle_seconds, normal_gap_seconds


def stalled_seconds(
    pace: Pace, now_seconds: float, *, floor_seconds: float = FLOOR_SECONDS
) -> float:
    """Seconds for which a commit is overdue; 0.0 while the run is not stalled.

    A commit is overdue when the wait for it is longer than is normal for this run, which is learnt
    from its commits (``normal_gap_seconds``) and never less than ``floor_seconds``. Running seconds
    count, swaps do not; ``now_seconds`` is on the clock of ``Sample.seconds``.
    """
    return max(0.0, idle_seconds(pace, now_seconds) - normal_gap_seconds(pace, floor_seconds))
