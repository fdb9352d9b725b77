"""How a task shows itself in a cell: the live panel, a table of its last state, and text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from html import escape
from pathlib import Path
from typing import Final

from syncmon_ext.model import words
from syncmon_ext.model.progress import Progress
from syncmon_ext.model.task import Kind
from syncmon_ext.model.unit import UnitRuntime
from syncmon_ext.model.view import TaskView

SHOWN_UNITS: Final = 20
BAR_CELLS: Final = 30
# Inline, since an untrusted notebook keeps no style sheet; colours that are legible on dark and light.
_TEXT: Final = "padding:2px 12px 2px 0;text-align:left;border:0;background:none"
_CELL: Final = f"{_TEXT};white-space:nowrap"
_NUMBER: Final = (
    "padding:2px 12px 2px 0;text-align:right;border:0;background:none;white-space:nowrap"
)
_QUIET: Final = "opacity:0.7"
_COLOURS: Final = {
    "blue": "#1976d2",
    "cyan": "#00838f",
    "yellow": "#b26a00",
    "green": "#2e7d32",
    "red": "#d32f2f",
    "dim": "#757575",
}


@cache
def _script() -> str:
    """The script, which must not hold what would end its element."""
    text = (Path(__file__).parent / "panel.js").read_text(encoding="utf-8")
    assert "</" not in text  # noqa: S101  # it would end the element
    return text


def panel_html(view: TaskView, *, url: str | None, live: bool, at: datetime | None = None) -> str:
    """A table of the last state with a link, which a script replaces by the live panel where it can.

    Where scripts do not run (an untrusted notebook, a code host) or there is no Jupyter around (an
    export), the table stands, with the time ``at`` which it is true: now, unless it is given.
    """
    table = f"{_state_html(view, url)}{_time_html(at)}"
    if not live:
        return f'<div class="syncmon-task">{table}</div>'
    return (
        f'<div class="syncmon-task" data-task="{escape(view.task_id)}">{table}'
        f"<script>{_script()}</script></div>"
    )


def task_list_html(views: Sequence[TaskView], *, at: datetime | None = None) -> str:
    """A table of tasks, and when it was true."""
    if not views:
        return (
            "<p>No tasks yet. The first one: <code>sm.create_task("
            '"nightly", source="flights", target="warehouse", tables=["airlines"])</code></p>'
        )
    rows = "".join(
        f"<tr>{_td(_mark(words.look_of(view.progress)))}{_td(escape(view.task_id))}"
        f"{_td(escape(words.percent(view.progress.overall_progress)), _NUMBER)}"
        f"{_td(escape(_amount(view.progress)), _NUMBER)}{_td(escape(_tables(view)))}</tr>"
        for view in views
    )
    table = f'<table style="border-collapse:collapse"><tbody>{rows}</tbody></table>'
    return f"{table}{_time_html(at)}"


def panel_text(view: TaskView) -> str:
    """The task in text: one line, a bar, its facts and its tables."""
    progress = view.progress
    lines = [task_line(progress)]
    if progress.overall_progress is not None:
        filled = int(BAR_CELLS * progress.overall_progress / 100)
        lines.append(f"{'█' * filled}{'░' * (BAR_CELLS - filled)}")
    if facts := words.facts(progress):
        lines.append("  ·  ".join(facts))
    if progress.error:
        lines.append(f"{progress.error}{f'. {progress.hint}' if progress.hint else ''}")
    if view.kind is Kind.COPY:
        lines += [f"  {_unit_line(unit)}" for unit in progress.units[:SHOWN_UNITS]]
        if len(progress.units) > SHOWN_UNITS:
            lines.append(f"  … {_more(len(progress.units) - SHOWN_UNITS)}")
    return "\n".join(lines)


def task_line(progress: Progress) -> str:
    """``● Running  nightly  63 %  212,340 of 336,776 rows``."""
    look = words.look_of(progress)
    parts = [
        f"{look.icon} {look.word}",
        progress.task_id,
        words.percent(progress.overall_progress),
        _amount(progress),
    ]
    return "  ".join(part for part in parts if part)


def _state_html(view: TaskView, url: str | None) -> str:
    progress = view.progress
    head = (
        f"{_mark(words.look_of(progress))} &nbsp;<strong>{escape(view.name or view.task_id)}</strong>"
        f' &nbsp;<span style="{_QUIET}">{escape(_way(view))}</span>'
    )
    if url:
        head += f' &nbsp;<a class="syncmon-link" href="{escape(url)}">open in syncmon</a>'
    facts = [words.percent(progress.overall_progress), _amount(progress), *words.facts(progress)]
    line = escape("  ·  ".join(fact for fact in facts if fact))
    parts = [f"<div>{head}</div>", _bar(progress), f"<div>{line}</div>" if line else ""]
    if progress.error:
        said = f"{progress.error}{f'. {progress.hint}' if progress.hint else ''}"
        parts.append(f'<div style="color:{_COLOURS["red"]}">{escape(said)}</div>')
    if view.kind is Kind.COPY and progress.units:
        parts.append(_units_html(progress))
    return "".join(parts)


def _time_html(at: datetime | None) -> str:
    said = (at or datetime.now(UTC)).astimezone(UTC)
    return f'<div style="{_QUIET}">as of {said:%d %b %Y, %H:%M:%S} UTC</div>'


def _units_html(progress: Progress) -> str:
    units = progress.units
    rows = "".join(
        f"<tr>{_td(_mark(words.unit_look_of(unit.state, progress)))}{_td(escape(unit.table))}"
        f"{_td(escape(words.percent(unit.progress)), _NUMBER)}"
        f"{_td(escape(_unit_amount(unit)), _NUMBER)}"
        f"{_td(escape(unit.error or ''), _TEXT)}</tr>"
        for unit in units[:SHOWN_UNITS]
    )
    more = len(units) - SHOWN_UNITS
    if more > 0:
        rows += f"<tr>{_td('')}{_td(escape(_more(more)))}</tr>"
    return f'<table style="border-collapse:collapse;margin:4px 0"><tbody>{rows}</tbody></table>'


def _more(count: int) -> str:
    return f"and {words.plural(count, 'more table')}"


def _bar(progress: Progress) -> str:
    if progress.overall_progress is None:
        return ""
    colour = _COLOURS[words.STATE_LOOK[progress.state].style]
    return (
        '<div style="height:8px;margin:4px 0;background:rgba(128,128,128,0.25)">'
        f'<div style="height:8px;background:{colour};width:{progress.overall_progress:.2f}%">'
        "</div></div>"
    )


def _mark(look: words.Look) -> str:
    return f'<span style="color:{_COLOURS[look.style]}">{look.icon} {look.word}</span>'


def _unit_line(unit: UnitRuntime) -> str:
    look = words.STATE_LOOK[unit.state]
    parts = [f"{look.icon} {unit.table}", words.percent(unit.progress), _unit_amount(unit)]
    return "  ".join([*(part for part in parts if part), *([unit.error] if unit.error else [])])


def _amount(progress: Progress) -> str:
    if progress.run_id is None:
        return ""
    return words.amount(progress)


def _unit_amount(unit: UnitRuntime) -> str:
    if unit.started_at is None:
        return ""
    return words.count_of(unit.rows_committed, unit.rows_total, unit.rows_total_is_estimate)


def _way(view: TaskView) -> str:
    return f"{view.spec.source} → {view.spec.target}" if view.spec else "loop"


def _tables(view: TaskView) -> str:
    if view.kind is Kind.LOOP:
        return "loop"
    return f"{_way(view)}, {words.plural(view.progress.total_tables, 'table')}"


def _td(content: str, style: str = _CELL) -> str:
    return f'<td style="{style}">{content}</td>'
