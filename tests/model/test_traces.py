"""The estimates of recorded runs: what they said at each moment, beside the truth and beside tqdm."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, median
from typing import Any, NamedTuple

import msgspec
import pytest

from syncmon_ext.model.estimate import Eta, Pace, Sample, UnitWork, eta, observe

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
