"""The speed that is shown: even between commits, quick to follow, nought where one is overdue."""

from __future__ import annotations

from itertools import pairwise

import pytest

from syncmon_ext.model.estimate import (
    Pace,
    Sample,
    observe,
    pace_of,
    speed,
    speed_bytes,
    stalled_seconds,
)
from syncmon_ext.model.speed import MARKS
from tests.model.samples import steps


def test_speed_neither_sinks_between_commits_nor_jumps_at_one() -> None:
    pace = pace_of(steps(40, 2.0, 10_000))
    assert speed(pace, 80.0) == pytest.approx(5_000)
    assert speed_bytes(pace, 80.0) == pytest.approx(500_000)
    for now in (80.5, 82.0, 84.0):
        assert speed(pace, now) == pytest.approx(5_000)
    late = observe(pace, Sample(seconds=82.6, rows=410_000, bytes=41_000_000))
    assert speed(late, 82.6) == pytest.approx(5_000, rel=0.1)


def test_speed_stands_with_commits_in_pairs() -> None:
    """Two workers that commit nearly together: a burst of two chunks, then nothing."""
    samples = [Sample(seconds=0.0, rows=0, bytes=0)]
    for i in range(1, 60):
        samples.append(Sample(seconds=1.0 * i, rows=2_000 * i - 1_000, bytes=i))
        samples.append(Sample(seconds=1.0 * i + 0.01, rows=2_000 * i, bytes=i))
    pace = Pace()
    for sample in samples:
        pace = observe(pace, sample)
        if sample.seconds > 10:
            assert speed(pace, sample.seconds) == pytest.approx(2_000, rel=0.25)


def test_speed_follows_a_new_pace() -> None:
    samples = steps(100, 0.5, 1_000)
    samples += [Sample(seconds=50 + 0.5 * i, rows=100_000 + 250 * i, bytes=0) for i in range(1, 61)]
    assert speed(pace_of(samples), 80.0) == pytest.approx(500, rel=0.05)


def test_speed_sinks_in_a_stall() -> None:
    pace = pace_of(steps(40, 1.0, 1_000))
    seen = [speed(pace, 40.0 + wait) or 0.0 for wait in (0, 6, 9, 10)]
    assert seen == sorted(seen, reverse=True)
    assert seen[0] == pytest.approx(1_000)
    assert 0 < seen[-1] < seen[1] < seen[0]


def test_speed_is_nought_while_a_commit_is_overdue() -> None:
    pace = pace_of(steps(40, 1.0, 1_000))
    for wait in (10.1, 60, 600):
        assert stalled_seconds(pace, 40.0 + wait) > 0
        assert speed(pace, 40.0 + wait) == speed_bytes(pace, 40.0 + wait) == 0.0
    assert speed(observe(pace, Sample(seconds=100.0, rows=41_000, bytes=4_100_000)), 101.0)


def test_speed_is_unknown_before_a_commit() -> None:
    assert speed(Pace(), 5.0) is None
    assert speed(pace_of([Sample(seconds=0.0, rows=0, bytes=0)]), 5.0) is None
    assert speed(pace_of([Sample(seconds=1.0, rows=i, bytes=i) for i in range(5)]), 1.0) is None


def test_memory_does_not_grow_with_the_run() -> None:
    pace = Pace()
    for i in range(20_000):
        pace = observe(pace, Sample(seconds=i * 0.7, rows=i * 50, bytes=i * 4_000))
        assert len(pace.marks) <= MARKS
    assert pace.marks[-1].rows == 19_999 * 50
    gaps = [b.seconds - a.seconds for a, b in pairwise(pace.marks)]
    assert max(gaps) < 14_000 / 20, "the marks still cover the whole run"
