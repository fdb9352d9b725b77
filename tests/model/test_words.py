from __future__ import annotations

import pytest
from msgspec.structs import replace

from syncmon_ext.model import words
from syncmon_ext.model.log import Level
from syncmon_ext.model.state import State, UnitState
from syncmon_ext.model.task import Kind, Task, TaskSpec
from syncmon_ext.store.snapshots import idle_progress

IDLE = idle_progress(
    Task(
        task_id="nightly",
        spec=TaskSpec(source="a", target="b", tables=["t"]),
        name="nightly",
    )
)


def test_every_state_and_level_has_a_look() -> None:
    assert set(words.STATE_LOOK) == {*State, *UnitState}
    assert set(words.LEVEL_LOOK) == set(Level)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (7.25, "7.2"),
        (41, "41"),
        (999, "999"),
        (999.6, "1.0 k"),
        (41_234, "41.2 k"),
        (412_345, "412 k"),
        (3_100_000, "3.1 M"),
        (2e9, "2.0 G"),
        (5e15, "5000 T"),
    ],
)
def test_rates_have_three_meaningful_digits(value: float, text: str) -> None:
    assert words.short(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (3_328_599_654, "3.1 GiB"),
        (2**60, "1024 PiB"),
    ],
)
def test_sizes_are_binary(value: float, text: str) -> None:
    assert words.size(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (112, "1 min 52 s"),
        (11_100, "3 h 05 min"),
        (187_200, "2 d 4 h"),
    ],
)
def test_durations_have_two_units_at_most(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (1, 9, "under 10 s"),
        (12, 38, "10–40 s"),
        (2, 40, "up to 40 s"),
        (121, 239, "2–4 min"),
        (180, 180, "about 3 min"),
        (5_000, 9_000, "1–2.5 h"),
        (200_000, 400_000, "2–5 d"),
        (100, 50, "about 50 s"),
    ],
)
def test_ranges_are_in_one_unit(low: float, high: float, text: str) -> None:
    assert words.duration_range(low, high) == text


def test_percent_is_rounded_down() -> None:
    assert words.percent(99.99) == "99 %"
    assert words.percent(100.0) == "100 %"
    assert words.percent(None) == ""


def test_estimates_look_like_estimates() -> None:
    assert words.count_of(212_340, 336_776, True) == "212,340 of about 336,776 rows"
    assert words.count_of(1, 1, False) == "1 of 1 row"
    assert words.count_of(5, None, True) == "5 rows"


def test_loop_counts_iterations() -> None:
    loop = replace(
        IDLE, kind=Kind.LOOP, state=State.RUNNING, rows_committed=1_200, rows_total=5_000, speed=1.0
    )
    assert words.amount(loop) == "1,200 of 5,000 iterations"
    assert words.facts(loop) == ["1 iterations/s"]
    assert words.amount(replace(loop, kind=Kind.COPY)) == "1,200 of 5,000 rows"


def test_stall_says_since_when_and_what_is_waited_for() -> None:
    stalled = replace(
        IDLE,
        state=State.RUNNING,
        stalled_seconds=75.0,
        waiting_for="copy",
        eta_seconds=9.0,
        speed=0.0,
        limited_by="target",
    )
    assert words.facts(stalled) == ["stalled for 1 min 15 s, waiting for copy"]
    assert words.look_of(stalled)[:2] == ("!", "Stalled")
    assert words.look_of(replace(stalled, stalled_seconds=0.0)).word == "Running"
    assert words.look_of(replace(stalled, state=State.PAUSED)).word == "Paused"


def test_what_waits_in_an_ended_run_has_not_begun() -> None:
    failed = replace(IDLE, state=State.FAILED)
    assert words.unit_look_of(UnitState.PENDING, failed)[:2] == ("○", "Not begun")
    assert (
        words.unit_look_of(UnitState.PENDING, replace(IDLE, state=State.PAUSED)).word == "Waiting"
    )
    assert words.unit_look_of(UnitState.FAILED, failed).word == "Failed"
