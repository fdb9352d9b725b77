"""The live picture of one task in a terminal: a head, the overall bar, the facts, the tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from syncmon_ext.cli.fitting import Column, Fitting
from syncmon_ext.model import words
from syncmon_ext.model.log import LogEntry, clean_message
from syncmon_ext.model.progress import Progress
from syncmon_ext.model.state import ACTIVE, ENDED, State, UnitState
from syncmon_ext.model.task import Kind
from syncmon_ext.model.unit import UnitRuntime

OVERALL_CELLS: Final = 36
UNIT_CELLS: Final = 12
SPARKS: Final = "▁▂▃▄▅▆▇█"
HEAD_LINES: Final = 7  # around the tables: head, bar, facts, count, what does not fit, error

# What is shown first where not all tables fit.
_URGENCY: Final = {
    UnitState.FAILED: 0,
    UnitState.SKIPPED: 1,
    UnitState.SWAPPING: 2,
    UnitState.RUNNING: 3,
    UnitState.INTERRUPTED: 4,
    UnitState.PAUSED: 5,
    UnitState.PENDING: 6,
    UnitState.STOPPED: 7,
    UnitState.COMPLETED: 8,
}
_COUNTED: Final = {
    UnitState.COMPLETED: "done",
    UnitState.SWAPPING: "swapping",
    UnitState.RUNNING: "running",
    UnitState.PAUSED: "paused",
    UnitState.INTERRUPTED: "interrupted",
    UnitState.PENDING: "waiting",
    UnitState.FAILED: "failed",
    UnitState.SKIPPED: "skipped",
    UnitState.STOPPED: "stopped",
}


def picture(
    progress: Progress, way: str, *, speeds: Sequence[float] = (), lines: int = 40
) -> RenderableType:
    """``progress`` in at most ``lines`` lines; ``way`` is ``source → target``."""
    look = words.STATE_LOOK[progress.state]
    head = Text.assemble(
        (f"{look.icon} {look.word}", look.style), "  ", (clean_message(progress.name), "bold")
    )
    if way:
        head.append(f"     {clean_message(way)}", "dim")
    facts = words.facts(progress)
    if len(speeds) > 1 and progress.state is State.RUNNING and progress.speed:
        facts[0] += f" {sparkline(speeds)}"
    parts: list[RenderableType] = [head, _overall(progress)]
    if facts:
        parts.append(Text("  ·  ".join(facts), "dim"))
    if progress.error:
        parts.append(Text(f"✕ {clean_message(progress.error)}", "red"))
        if progress.hint:
            parts.append(Text(f"  {clean_message(progress.hint)}", "dim"))
    if progress.kind is Kind.LOOP:  # its one unit says nothing more, its note does
        note = clean_message(progress.current_table or "")
        return Group(*parts, *([Text(note, "dim")] if note else []))
    shown = _shown(progress.units, lines - HEAD_LINES)
    if progress.total_tables:
        parts.append(Text(f"{words.plural(progress.total_tables, 'table')}: {counts(progress)}"))
    parts.extend(_unit_rows(shown, progress))
    hidden = len(progress.units) - len(shown)
    if hidden > 0:
        parts.append(Text(f"  … and {words.count(hidden)} more", "dim"))
    return Group(*parts)


def bar(value: float | None, cells: int, moved: float = 0.0) -> str:
    """A bar for a percentage; where it is unknown, a mark that goes around with ``moved``."""
    if value is None:
        place = int(moved * 4) % cells
        return "".join("▒" if (cell - place) % cells < 3 else "░" for cell in range(cells))
    full = min(cells, int(value * cells / 100))
    return "█" * full + "░" * (cells - full)


def sparkline(values: Sequence[float]) -> str:
    """The newest values as little columns, the highest one full."""
    top = max(values) or 1.0
    return "".join(SPARKS[min(7, int(value / top * 7.999))] for value in values)


def counts(progress: Progress) -> str:
    """``3 done, 1 running, 1 waiting``; what waits when the run has ended has not begun."""
    found = Counter(unit.state for unit in progress.units)
    said = _COUNTED | ({UnitState.PENDING: "not begun"} if progress.state in ENDED else {})
    return ", ".join(f"{found[s]} {word}" for s, word in said.items() if found[s])


def log_line(entry: LogEntry) -> Text:
    """A log entry: time, icon, table, message."""
    look = words.LEVEL_LOOK[entry.level]
    text = Text.assemble((words.clock(entry.time), "dim"), "  ", (look.icon, look.style), " ")
    if entry.unit and not entry.message.startswith(f"{entry.unit}:"):
        text.append(f"{clean_message(entry.unit)}: ", "bold")
    return text.append(entry.message)


def plain_log_line(entry: LogEntry) -> str:
    """The same without colours."""
    return log_line(entry).plain


def progress_line(progress: Progress) -> str:
    """All that matters in one line."""
    look = words.STATE_LOOK[progress.state]
    parts = [words.percent(progress.overall_progress), words.amount(progress)]
    parts += words.facts(progress)
    return f"{look.icon} {look.word}  " + "  ".join(part for part in parts if part)


def _overall(progress: Progress) -> Text:
    idle = progress.state is State.IDLE
    value = 0.0 if idle else progress.overall_progress
    style = words.STATE_LOOK[progress.state].style
    text = Text(_bar(value, OVERALL_CELLS, progress, moving=progress.state in ACTIVE), style)
    return text.append(
        f"  {words.percent(value):>5}   {'not started' if idle else words.amount(progress)}",
        "default",
    )


def _bar(value: float | None, cells: int, progress: Progress, *, moving: bool) -> str:
    """Only what moves has a bar that goes around."""
    return bar(0.0 if value is None and not moving else value, cells, progress.elapsed_seconds)


def _shown(units: Sequence[UnitRuntime], room: int) -> list[UnitRuntime]:
    if len(units) <= room:
        return list(units)
    urgent = sorted(range(len(units)), key=lambda place: _URGENCY[units[place].state])
    return [units[place] for place in sorted(urgent[: max(1, room)])]


def _unit_rows(units: Iterable[UnitRuntime], progress: Progress) -> list[RenderableType]:
    rows: list[RenderableType] = []
    table = _grid()
    for unit in units:
        look = words.STATE_LOOK[unit.state]
        waiting = unit.state is UnitState.PENDING and unit.rows_committed == 0
        running = unit.state is UnitState.RUNNING
        moving = running or unit.state is UnitState.SWAPPING
        value = unit.progress
        cells = (
            Text(look.icon, look.style),
            Text(_unit_name(unit)),
            Text(_bar(value, UNIT_CELLS, progress, moving=moving), look.style),
            Text("" if waiting and not value else words.percent(value)),
            Text(_unit_count(unit, waiting)),
            Text(f"{words.short(unit.speed)} rows/s" if running and unit.speed else "", "dim"),
        )
        table.rows.append(cells)
        if unit.error:
            rows += [table, Text(f"    ✕ {clean_message(unit.error)}", "red")]
            if unit.hint:
                rows.append(Text(f"      {clean_message(unit.hint)}", "dim"))
            table = _grid()
    return [*rows, table] if table.rows else rows


def _unit_count(unit: UnitRuntime, waiting: bool) -> str:
    if unit.state is UnitState.COMPLETED:
        return words.plural(unit.rows_committed, "row")
    if waiting and unit.rows_total is None:
        return ""
    return words.count_of(unit.rows_committed, unit.rows_total, unit.rows_total_is_estimate)


def _unit_name(unit: UnitRuntime) -> str:
    target = "" if unit.table == unit.target_table else f" → {unit.target_table}"
    return clean_message(f"{unit.table}{target}")


def _grid() -> Fitting:
    return Fitting(
        (
            Column(worth=4, justify="right", least=3),
            Column(worth=5, least=16, most=40),
            Column(worth=2, least=UNIT_CELLS),
            Column(worth=3, justify="right", least=5),
            Column(worth=1, justify="right", least=20),
            Column(worth=0, after=0),
        )
    )
