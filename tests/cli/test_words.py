from __future__ import annotations

import io

import pytest
from msgspec.structs import replace
from rich.console import Console, RenderableType

from syncmon_ext.cli import bars, words
from syncmon_ext.model.log import Level
from syncmon_ext.model.state import State, UnitState
from syncmon_ext.model.task import Task, TaskSpec
from syncmon_ext.store.snapshots import idle_progress

IDLE = idle_progress(
    Task(
        task_id="wide",
        spec=TaskSpec(source="a", target="b", tables=[f"t{n}" for n in range(200)]),
        name="wide",
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
    assert words.rows_of(212_340, 336_776, True) == "212,340 of about 336,776 rows"
    assert words.rows_of(1, 1, False) == "1 of 1 row"
    assert words.rows_of(5, None, True) == "5 rows"


def test_stall_says_since_when_and_what_is_waited_for() -> None:
    stalled = replace(
        IDLE, state=State.RUNNING, stalled_seconds=75.0, waiting_for="copy", eta_seconds=9.0
    )
    assert "stalled for 1 min 15 s, waiting for copy" in words.facts(stalled)
    assert not any("left" in fact for fact in words.facts(stalled))


def test_bar_is_full_only_at_the_end_and_moves_where_the_total_is_unknown() -> None:
    assert bars.bar(0, 4) == "░░░░"
    assert bars.bar(99.9, 4) == "███░"
    assert bars.bar(100, 4) == "████"
    assert bars.bar(None, 8, 0.0) != bars.bar(None, 8, 1.0)
    assert set(bars.bar(None, 8, 0.0)) == {"▒", "░"}


def test_only_what_moves_has_a_bar_that_goes_around() -> None:
    units = [replace(IDLE.units[0], state=state) for state in UnitState]
    for unit in units:
        lines = text_of(bars.picture(replace(IDLE, units=[unit], total_tables=1), ""))
        moving = unit.state in (UnitState.RUNNING, UnitState.SWAPPING)
        assert ("▒" in "".join(lines)) == moving


def test_speed_curve_is_relative_to_its_highest() -> None:
    assert bars.sparkline([0, 5, 10]) == "▁▄█"
    assert bars.sparkline([0, 0]) == "▁▁"


def text_of(picture: RenderableType) -> list[str]:
    console = Console(width=100, file=io.StringIO())
    with console.capture() as captured:
        console.print(picture)
    return captured.get().splitlines()


def test_many_tables_fit_and_the_urgent_ones_are_shown() -> None:
    units = [replace(unit, state=UnitState.COMPLETED, progress=100.0) for unit in IDLE.units]
    units[150] = replace(units[150], state=UnitState.FAILED, progress=None, error="it broke")
    units[199] = replace(units[199], state=UnitState.RUNNING, progress=12.0)
    lines = text_of(
        bars.picture(replace(IDLE, units=units, state=State.RUNNING), "a → b", lines=24)
    )
    assert len(lines) <= 24
    assert any("✕" in line and "t150" in line for line in lines)
    assert any("it broke" in line for line in lines)
    assert any("●" in line and "t199" in line for line in lines)
    assert any("200 tables: 198 done, 1 running, 1 failed" in line for line in lines)
    assert any("and 183 more" in line for line in lines)


def test_names_and_errors_cannot_steer_the_terminal() -> None:
    units = [
        replace(IDLE.units[0], table="a\x1b[31mb[bold]", target_table="c\x07", error="\x1b[2Jx")
    ]
    lines = text_of(bars.picture(replace(IDLE, units=units, total_tables=1), "a\x1b[1m → b"))
    joined = "\n".join(lines)
    assert "\x1b" not in joined
    assert "\x07" not in joined
    assert "ab[bold] → c" in joined
