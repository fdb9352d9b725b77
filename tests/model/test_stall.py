"""When a run is said to stall, and for how long."""

from __future__ import annotations

import pytest

from syncmon_ext.model.estimate import Pace, Sample, observe, pace_of, stalled_seconds
from tests.model.samples import steps


def test_stall_starts_after_the_floor_for_a_quick_run() -> None:
    pace = pace_of(steps(100, 0.2, 1_000))
    assert stalled_seconds(pace, 20.0) == 0.0
    assert stalled_seconds(pace, 29.9) == 0.0
    assert stalled_seconds(pace, 75.0) == pytest.approx(45.0)


def test_stall_adapts_to_slow_commits() -> None:
    pace = pace_of(steps(30, 20.0, 1_000))
    assert stalled_seconds(pace, 600.0 + 45.0) == 0.0
    assert stalled_seconds(pace, 600.0 + 300.0) > 200.0


def test_stall_ends_with_a_commit_and_is_not_learnt_as_usual() -> None:
    pace = pace_of(steps(50, 1.0, 1_000))
    assert stalled_seconds(pace, 1_050.0) > 900
    pace = observe(pace, Sample(seconds=1_050.0, rows=51_000, bytes=5_100_000))
    assert stalled_seconds(pace, 1_051.0) == 0.0
    assert stalled_seconds(pace, 1_100.0) > 0.0


def test_stall_without_any_commit_counts_from_the_first_sample() -> None:
    pace = pace_of([Sample(seconds=100.0, rows=7, bytes=7)])
    assert stalled_seconds(pace, 105.0) == 0.0
    assert stalled_seconds(pace, 130.0) == pytest.approx(20.0)
    assert stalled_seconds(Pace(), 1_000.0) == 0.0


def test_stall_does_not_count_a_swap() -> None:
    pace = pace_of(steps(50, 1.0, 1_000))
    swapping = Sample(seconds=150.0, rows=50_000, bytes=5_000_000, swap_seconds=99.0)
    assert stalled_seconds(observe(pace, swapping), 150.0) == 0.0
    assert stalled_seconds(pace, 150.0) > 50.0
