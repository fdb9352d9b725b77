"""What all estimates of a run must hold to, whatever its samples."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from syncmon_ext.model.estimate import (
    Sample,
    UnitWork,
    eta,
    pace_of,
    speed,
    speed_bytes,
    stalled_seconds,
)
from syncmon_ext.model.speed import MARKS
from tests.model.samples import steps


def test_samples_without_a_commit_change_no_estimate_but_the_latest() -> None:
    commits = steps(50, 1.0, 1_000)
    beats = [
        Sample(seconds=at.seconds + part / 4, rows=at.rows, bytes=at.bytes)
        for at in commits
        for part in range(4)
    ]
    units = [UnitWork(rows_total=90_000, rows_committed=50_000, bytes_committed=5_000_000)]
    rare, often = pace_of(commits), pace_of(beats)
    assert rare.marks == often.marks
    assert speed(rare, 51.0) == speed(often, 51.0)
    assert eta(rare, units, 51.0) == eta(often, units, 51.0)


counts = st.integers(0, 10**12)
durations = st.floats(0, 1e7, allow_nan=False)


@st.composite
def runs(draw: st.DrawFn) -> list[Sample]:
    """Any order of samples: equal times, no rows, rows taken back, clocks that go back."""
    samples = draw(
        st.lists(
            st.builds(
                Sample,
                seconds=durations,
                rows=counts,
                bytes=counts,
                swap_seconds=st.sampled_from([0.0, 0.0, 1.0, 1e6]),
            ),
            max_size=40,
        )
    )
    if draw(st.booleans()):
        samples.sort(key=lambda sample: sample.seconds)
    return samples


works = st.lists(
    st.builds(
        UnitWork,
        rows_total=st.none() | counts,
        rows_committed=counts,
        bytes_committed=counts,
        width_bytes=st.none() | st.floats(0, 1e9),
        done=st.booleans(),
        rows_total_is_estimate=st.booleans(),
    ),
    max_size=8,
)


@settings(max_examples=400, deadline=None)
@given(runs(), works, durations)
def test_any_samples_give_an_ordered_finite_answer(
    samples: list[Sample], units: list[UnitWork], now: float
) -> None:
    pace = pace_of(samples)
    answer = eta(pace, units, now)
    if answer is not None:
        assert 0.0 <= answer.low <= answer.mid <= answer.high < float("inf")
    if any(unit.rows_total is None and not unit.done for unit in units):
        assert answer is None
    for rate in (speed(pace, now), speed_bytes(pace, now)):
        assert rate is None or 0.0 <= rate < float("inf")
    assert 0.0 <= stalled_seconds(pace, now) < float("inf")
    assert len(pace.marks) <= MARKS
