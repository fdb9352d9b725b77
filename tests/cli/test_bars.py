from __future__ import annotations

import io

from msgspec.structs import replace
from rich.console import Console, RenderableType

from syncmon_ext.cli import bars, status
from syncmon_ext.model.state import State, UnitState
from syncmon_ext.model.task import Kind, Task, TaskSpec
from syncmon_ext.store.snapshots import idle_progress

IDLE = idle_progress(
    Task(
        task_id="wide",
        spec=TaskSpec(source="a", target="b", tables=[f"t{n}" for n in range(200)]),
        name="wide",
    )
)


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


def text_of(picture: RenderableType, width: int = 100) -> list[str]:
    console = Console(width=width, file=io.StringIO())
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


def test_loop_has_a_note_and_no_tables() -> None:
    loop = replace(IDLE, kind=Kind.LOOP, state=State.RUNNING, rows_committed=3, rows_total=40)
    loop = replace(loop, total_tables=1, current_table="epoch 2")
    text = "\n".join(text_of(bars.picture(loop, "")))
    assert "3 of 40 iterations" in text
    assert text.endswith("epoch 2")
    assert "table" not in text


def test_names_and_errors_cannot_steer_the_terminal() -> None:
    units = [
        replace(IDLE.units[0], table="a\x1b[31mb[bold]", target_table="c\x07", error="\x1b[2Jx")
    ]
    lines = text_of(bars.picture(replace(IDLE, units=units, total_tables=1), "a\x1b[1m → b"))
    joined = "\n".join(lines)
    assert "\x1b" not in joined
    assert "\x07" not in joined
    assert "ab[bold] → c" in joined


def test_table_that_waits_when_the_run_has_ended_has_not_begun() -> None:
    units = [replace(IDLE.units[0], state=UnitState.PENDING)]
    for state in State:
        said = bars.counts(replace(IDLE, units=units, state=state))
        ended = state in (State.COMPLETED, State.FAILED, State.STOPPED)
        assert said == ("1 not begun" if ended else "1 waiting"), state


def test_narrow_terminal_keeps_name_icon_and_per_cent() -> None:
    units = [replace(IDLE.units[0], state=UnitState.RUNNING, progress=12.0, rows_committed=12)]
    task = replace(IDLE, task_id="nightly-copy", state=State.RUNNING, units=units, total_tables=1)
    task = replace(task, overall_progress=12.0, rows_committed=12, rows_total=100)
    for width in (30, 38, 100):
        row = next(line for line in text_of(bars.picture(task, ""), width) if " t0 " in line)
        assert "●" in row and "12 %" in row, (width, row)
        assert ("░" in row) == (width >= 45)
        [line] = text_of(status._list([task]), width)
        assert "●" in line and "nightly-copy" in line and "12 %" in line, (width, line)
        assert ("Running" in line) == (width > 30), (width, line)
        assert ("12 of 100 rows" in line) == (width == 100), (width, line)


def test_narrow_list_shows_a_stall() -> None:
    task = replace(IDLE, task_id="nightly-copy", state=State.RUNNING, stalled_seconds=75.0)
    for width in (30, 38, 100):
        [line] = text_of(status._list([task]), width)
        assert line.strip().startswith("!"), (width, line)
        assert ("stalled for 1 min 15 s" in line) == (width == 100), (width, line)
