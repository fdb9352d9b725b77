"""The estimates: held against recorded runs, against tqdm, and against what must always hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from statistics import mean, median
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncmon_ext.model.estimate import (
    Eta,
    Pace,
    Sample,
    UnitWork,
    eta,
    observe,
    pace_of,
    speed,
    speed_bytes,
    stalled_seconds,
)
from syncmon_ext.model.speed import MARKS

TRACES = sorted((Path(__file__).parent / "traces").glob("*.json"))
KINDS = ("steady", "slowing", "bursty", "shifting", "width")
POINTS = 100  # moments of a run at which it is asked, evenly spread over its time
FROM = 20  # percent of a run's time after which the estimates must hold
WIDEST = {"steady": 0.7, "slowing": 1.3, "bursty": 1.7, "shifting": 1.7, "width": 1.4}


class Tqdm:
    """tqdm's remaining time, by its own rule: an EMA (0.3) of rows and of seconds per refresh."""

    smoothing = 0.3
    refresh_seconds = 0.1

    def __init__(self) -> None:
        self.rows = self.last_rows = 0
        self.last_seconds = self.ema_rows = self.ema_seconds = 0.0

    def update(self, seconds: float, rows: int) -> None:
        self.rows = rows
        passed = seconds - self.last_seconds
        if passed >= self.refresh_seconds:
            keep = 1 - self.smoothing
            self.ema_rows = self.smoothing * (rows - self.last_rows) + keep * self.ema_rows
            self.ema_seconds = self.smoothing * passed + keep * self.ema_seconds
            self.last_seconds, self.last_rows = seconds, rows

    def remaining(self, total: int) -> float:
        return (total - self.rows) / (self.ema_rows / self.ema_seconds)


class Answer(NamedTuple):
    """What was said at one moment of a run, and what was true."""

    seconds: float
    left: float
    ours: Eta
    theirs: float


def load(path: Path) -> dict[str, Any]:
    trace: dict[str, Any] = json.loads(path.read_text())
    return trace


def replay(trace: dict[str, Any]) -> Iterator[Answer]:
    """Live through a recorded run, and ask at every hundredth of its time."""
    works = [
        UnitWork(
            rows_total=unit["rows_total"],
            width_bytes=unit["width_bytes"],
            rows_total_is_estimate=unit["rows_total_is_estimate"],
        )
        for unit in trace["units"]
    ]
    events = trace["samples"]
    end = events[-1][0]
    total = sum(unit["rows_total"] for unit in trace["units"])
    pace = observe(Pace(), Sample(seconds=0.0, rows=0, bytes=0))
    reference = Tqdm()
    swaps = before = 0.0
    position = 0
    for point in range(FROM, POINTS):
        now = end * point / POINTS
        while position < len(events) and events[position][0] <= now:
            seconds, unit, rows, size, done = events[position]
            position += 1
            if done and trace["workers"] == 1:
                swaps += seconds - before
            before = seconds
            works[unit] = msgspec.structs.replace(
                works[unit], rows_committed=rows, bytes_committed=size, done=bool(done)
            )
            committed = sum(work.rows_committed for work in works)
            pace = observe(
                pace,
                Sample(
                    seconds=seconds,
                    rows=committed,
                    bytes=sum(work.bytes_committed for work in works),
                    swap_seconds=swaps,
                ),
            )
            reference.update(seconds, committed)
        ours = eta(pace, works, now)
        assert ours is not None, "after a fifth of a run there is an estimate"
        yield Answer(now, end - now, ours, reference.remaining(total))


@pytest.fixture(scope="module")
def answers() -> dict[str, list[list[Answer]]]:
    kinds: dict[str, list[list[Answer]]] = {kind: [] for kind in KINDS}
    for path in TRACES:
        trace = load(path)
        kinds[trace["kind"]].append(list(replay(trace)))
    return kinds


def held(run: list[Answer]) -> float:
    return mean(answer.ours.low <= answer.left <= answer.ours.high for answer in run)


def error(run: list[Answer], who: str) -> float:
    """Mean absolute error as a share of the run's time, so that each run of a kind counts alike."""
    length = run[0].seconds + run[0].left
    said = [answer.ours.mid if who == "ours" else answer.theirs for answer in run]
    return mean(abs(s - a.left) for s, a in zip(said, run, strict=True)) / length


def test_traces_cover_every_kind() -> None:
    heads = [load(path) for path in TRACES]
    kinds = [head["kind"] for head in heads]
    assert {kind: kinds.count(kind) >= 2 for kind in KINDS} == dict.fromkeys(KINDS, True)
    assert len(TRACES) >= 10
    assert sum(head["origin"] == "recorded" for head in heads) * 2 >= len(TRACES)


@pytest.mark.parametrize("kind", KINDS)
def test_interval_holds_the_true_end_eight_times_in_ten(
    kind: str, answers: dict[str, list[list[Answer]]]
) -> None:
    assert mean(held(run) for run in answers[kind]) >= 0.8


@pytest.mark.parametrize("kind", KINDS)
def test_interval_is_narrow_enough_to_be_of_use(
    kind: str, answers: dict[str, list[list[Answer]]]
) -> None:
    widths = [median((a.ours.high - a.ours.low) / a.left for a in run) for run in answers[kind]]
    assert median(widths) <= WIDEST[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_mid_beats_tqdm(kind: str, answers: dict[str, list[list[Answer]]]) -> None:
    runs = answers[kind]
    assert mean(error(run, "ours") for run in runs) < mean(error(run, "tqdm") for run in runs)


def test_reference_is_tqdm() -> None:
    """The rule above gives what tqdm itself says, fed with a trace on a clock of our own."""
    tqdm_std = pytest.importorskip("tqdm.std")
    events = load(TRACES[0])["samples"]
    clock = 0.0
    with Path("/dev/null").open("w") as nowhere:
        bar = tqdm_std.tqdm(total=10**9, file=nowhere, miniters=0, mininterval=0.1)
        bar._time = lambda: clock
        bar.start_t = bar.last_print_t = 0.0
        reference = Tqdm()
        rows = 0
        for event in events[:60]:
            clock = event[0]
            bar.update(event[2] - rows)
            rows = event[2]
            reference.update(clock, rows)
        shown = bar.format_dict
        bar.close()
    theirs = (10**9 - rows) / shown["rate"]
    assert reference.remaining(10**9) == pytest.approx(theirs, rel=1e-9)


def steps(count: int, gap: float, rows: int, width: int = 100) -> list[Sample]:
    return [
        Sample(seconds=gap * i, rows=rows * i, bytes=rows * width * i) for i in range(count + 1)
    ]


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


def test_memory_does_not_grow_with_the_run() -> None:
    pace = Pace()
    for i in range(20_000):
        pace = observe(pace, Sample(seconds=i * 0.7, rows=i * 50, bytes=i * 4_000))
        assert len(pace.marks) <= MARKS
    assert pace.marks[-1].rows == 19_999 * 50
    gaps = [b.seconds - a.seconds for a, b in pairwise(pace.marks)]
    assert max(gaps) < 14_000 / 20, "the marks still cover the whole run"


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
