"""The time that is left of a run, as a range."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncmon_ext.model.estimate import Eta, Pace, Sample, UnitWork, eta, observe, pace_of
from tests.model.samples import steps


def test_eta_of_an_even_run_is_the_rest() -> None:
    pace = pace_of(steps(100, 1.0, 1_000))
    units = [UnitWork(rows_total=400_000, rows_committed=100_000, bytes_committed=10_000_000)]
    answer = eta(pace, units, 100.0)
    assert answer is not None
    assert answer.mid == pytest.approx(300.0, rel=0.01)
    assert answer.low < 300.0 < answer.high


def test_eta_counts_the_width_of_a_table() -> None:
    """A thousand pages of 50 kB are not a thousand ids: where rows tell nothing, bytes do."""
    pace = pace_of(steps(100, 1.0, 1_000, width=100))
    begun = UnitWork(
        rows_total=100_000,
        rows_committed=100_000,
        bytes_committed=10_000_000,
        width_bytes=100.0,
        done=True,
    )

    def mid(width: float) -> float:
        answer = eta(pace, [begun, UnitWork(rows_total=50_000, width_bytes=width)], 100.0)
        assert answer is not None
        return answer.mid

    assert mid(100.0) == pytest.approx(50.0, rel=0.02)
    assert mid(50_000.0) > 50 * mid(100.0)
    assert mid(10.0) < mid(100.0)


def test_eta_learns_what_a_row_costs() -> None:
    """When wide and narrow tables took as long per row, a table's width no longer matters."""

    def ask(width_counts: bool) -> float:
        samples = [Sample(seconds=0.0, rows=0, bytes=0)]
        seconds, rows, size = 0.0, 0, 0
        for i in range(120):
            width = (20, 8_000, 300)[i // 40]
            seconds += width / 1_000 if width_counts else 1.0
            rows += 1_000
            size += 1_000 * width
            samples.append(Sample(seconds=seconds, rows=rows, bytes=size))
        units = [
            UnitWork(
                rows_total=40_000,
                rows_committed=40_000,
                bytes_committed=40_000 * width,
                width_bytes=width,
                done=True,
            )
            for width in (20, 8_000, 300)
        ]
        units.append(UnitWork(rows_total=40_000, width_bytes=2_000.0))
        answer = eta(pace_of(samples), units, seconds)
        assert answer is not None
        return answer.mid

    assert ask(width_counts=False) == pytest.approx(40.0, rel=0.5)
    assert ask(width_counts=True) == pytest.approx(80.0, rel=0.5)


def test_eta_is_unknown_with_an_unknown_total() -> None:
    pace = pace_of(steps(100, 1.0, 1_000))
    known = UnitWork(rows_total=200_000, rows_committed=100_000, bytes_committed=10_000_000)
    assert eta(pace, [known, UnitWork(rows_total=None)], 100.0) is None
    assert eta(pace, [known, UnitWork(rows_total=None, done=True)], 100.0) is not None


def test_eta_is_unknown_before_there_is_a_pace() -> None:
    unit = UnitWork(rows_total=100)
    assert eta(Pace(), [unit], 0.0) is None
    assert eta(pace_of(steps(0, 1.0, 10)), [unit], 1.0) is None
    assert eta(pace_of(steps(1, 1.0, 10)), [unit], 1.0) is None


def test_eta_is_zero_when_all_is_done() -> None:
    done = UnitWork(rows_total=10, rows_committed=10, done=True)
    assert eta(Pace(), [done], 3.0) == Eta(low=0.0, mid=0.0, high=0.0)


def test_eta_allows_for_swaps_that_it_has_seen() -> None:
    samples = [
        Sample(seconds=s.seconds + 30.0, rows=s.rows, bytes=s.bytes, swap_seconds=30.0)
        for s in steps(100, 1.0, 1_000)
    ]
    half = UnitWork(rows_total=50_000, rows_committed=50_000, bytes_committed=5_000_000)
    units = [msgspec.structs.replace(half, done=True), half]
    answer = eta(pace_of([Sample(seconds=0.0, rows=0, bytes=0), *samples]), units, 130.0)
    assert answer is not None
    assert answer.mid == pytest.approx(30.0, rel=0.1)
    assert answer.high > 30.0


def test_eta_of_estimated_totals_is_wider() -> None:
    pace = pace_of(steps(100, 1.0, 1_000))
    exact = UnitWork(rows_total=200_000, rows_committed=100_000, bytes_committed=10_000_000)
    guess = msgspec.structs.replace(exact, rows_total_is_estimate=True)
    a, b = eta(pace, [exact], 100.0), eta(pace, [guess], 100.0)
    assert a is not None and b is not None
    assert b.high - b.low > 1.2 * (a.high - a.low)
    outgrown = msgspec.structs.replace(guess, rows_total=90_000)
    c = eta(pace, [outgrown], 100.0)
    assert c is not None and c.mid > 0.0


def test_retry_that_takes_rows_back_adds_their_work() -> None:
    pace = pace_of([*steps(100, 1.0, 1_000), Sample(seconds=101.0, rows=60_000, bytes=6_000_000)])
    pace = observe(pace, Sample(seconds=102.0, rows=62_000, bytes=6_200_000))
    unit = UnitWork(rows_total=100_000, rows_committed=62_000, bytes_committed=6_200_000)
    answer = eta(pace, [unit], 102.0)
    assert answer is not None
    assert answer.mid == pytest.approx(38.0, rel=0.05)


@st.composite
def courses(draw: st.DrawFn) -> tuple[list[Sample], list[UnitWork]]:
    """A run as runs are: commits after commits, one unit in work and one to come."""
    samples = [Sample(seconds=0.0, rows=0, bytes=0)]
    for _ in range(draw(st.integers(5, 60))):
        last = samples[-1]
        rows = draw(st.integers(1, 100_000))
        samples.append(
            Sample(
                seconds=last.seconds + draw(st.floats(0.05, 5.0)),
                rows=last.rows + rows,
                bytes=last.bytes + rows * draw(st.integers(1, 5_000)),
            )
        )
    last = samples[-1]
    ahead = draw(st.integers(1, 10**7))
    return samples, [
        UnitWork(
            rows_total=last.rows + ahead, rows_committed=last.rows, bytes_committed=last.bytes
        ),
        UnitWork(rows_total=draw(st.integers(0, 10**6)), width_bytes=draw(st.floats(1, 1e4))),
    ]


@settings(max_examples=100, deadline=None)
@given(courses(), st.sampled_from([0.25, 0.5, 2.0]))
def test_eta_scales_with_the_clock(
    course: tuple[list[Sample], list[UnitWork]], factor: float
) -> None:
    """A run that does the same slower has the same estimate in relation, below a stall's floor."""
    samples, units = course
    slow = [msgspec.structs.replace(s, seconds=s.seconds * factor) for s in samples]
    now = samples[-1].seconds
    one, many = eta(pace_of(samples), units, now), eta(pace_of(slow), units, now * factor)
    assert one is not None and many is not None
    for part in ("low", "mid", "high"):
        assert getattr(many, part) == pytest.approx(getattr(one, part) * factor, rel=1e-6)


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.floats(0.05, 5.0))
def test_more_work_takes_longer_in_an_even_run(ahead: int, more: int, gap: float) -> None:
    pace = pace_of(steps(60, gap, 1_000))

    def ask(rows: int) -> Eta:
        unit = UnitWork(rows_total=60_000 + rows, rows_committed=60_000, bytes_committed=6_000_000)
        answer = eta(pace, [unit], 60 * gap)
        assert answer is not None
        return answer

    less, greater = ask(ahead), ask(ahead + more)
    assert less.low <= greater.low
    assert less.mid < greater.mid
    assert less.high < greater.high
