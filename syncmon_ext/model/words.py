"""States, levels, numbers, sizes and durations in words: the page's own, for terminals and text."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Final, NamedTuple

from syncmon_ext.model.log import Level
from syncmon_ext.model.progress import Progress
from syncmon_ext.model.state import ENDED, State, UnitState
from syncmon_ext.model.task import Kind


class Look(NamedTuple):
    """An icon, a word and a colour (of rich)."""

    icon: str
    word: str
    style: str


STATE_LOOK: Final[dict[State | UnitState, Look]] = {
    State.IDLE: Look("○", "Idle", "dim"),
    UnitState.PENDING: Look("○", "Waiting", "dim"),
    State.RUNNING: Look("●", "Running", "blue"),
    UnitState.RUNNING: Look("●", "Running", "blue"),
    UnitState.SWAPPING: Look("◐", "Swapping", "cyan"),
    State.PAUSING: Look("◐", "Pausing…", "cyan"),
    State.PAUSED: Look("‖", "Paused", "yellow"),
    UnitState.PAUSED: Look("‖", "Paused", "yellow"),
    State.STOPPING: Look("◐", "Stopping…", "cyan"),
    State.STOPPED: Look("■", "Stopped", "yellow"),
    UnitState.STOPPED: Look("■", "Stopped", "yellow"),
    State.COMPLETED: Look("✓", "Completed", "green"),
    UnitState.COMPLETED: Look("✓", "Completed", "green"),
    State.FAILED: Look("✕", "Failed", "red"),
    UnitState.FAILED: Look("✕", "Failed", "red"),
    UnitState.SKIPPED: Look("✕", "Skipped", "yellow"),
    State.INTERRUPTED: Look("⟳", "Interrupted", "yellow"),
    UnitState.INTERRUPTED: Look("⟳", "Interrupted", "yellow"),
}

_STALLED: Final = Look("!", "Stalled", "yellow")
_NOT_BEGUN: Final = Look("○", "Not begun", "dim")

LEVEL_LOOK: Final = {
    Level.INFO: Look("·", "info", "dim"),
    Level.SUCCESS: Look("✓", "success", "green"),
    Level.WARNING: Look("!", "warning", "yellow"),
    Level.ERROR: Look("✕", "error", "red"),
}

BYTE_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def is_stalled(progress: Progress) -> bool:
    """Whether a run makes no headway, though it should."""
    return progress.state is State.RUNNING and progress.stalled_seconds > 0


def look_of(progress: Progress) -> Look:
    """What one glance at a task must tell: its state, or that it makes no headway in it."""
    return _STALLED if is_stalled(progress) else STATE_LOOK[progress.state]


def unit_look_of(state: UnitState, run: Progress) -> Look:
    """How a table of a run looks; what waits when the run has ended has not begun."""
    ended = run.state in ENDED
    return _NOT_BEGUN if state is UnitState.PENDING and ended else STATE_LOOK[state]


def count(value: int) -> str:
    """336776 -> ``336,776``."""
    return f"{value:,}"


def plural(value: int, noun: str) -> str:
    """1 -> ``1 table``, 5 -> ``5 tables``."""
    return f"{count(value)} {noun}{'' if value == 1 else 's'}"


def short(value: float) -> str:
    """Three meaningful digits: 41234 -> ``41.2 k``."""
    if value < 999.5:
        return f"{value:.2g}" if 0 < value < 10 else f"{value:.0f}"
    units = iter(("k", "M", "G", "T"))
    unit = ""
    while value >= 999.5 and (larger := next(units, "")):
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if value >= 99.95 else f"{value:.1f} {unit}"


def size(value: float) -> str:
    """3328599654 -> ``3.1 GiB``."""
    place = 0
    while value >= 1023.5 and place < len(BYTE_UNITS) - 1:
        value /= 1024
        place += 1
    return f"{value:.{0 if place == 0 or value >= 99.95 else 1}f} {BYTE_UNITS[place]}"


def percent(value: float | None) -> str:
    """Whole percents, rounded down: 100 is said only when it is true."""
    return "" if value is None else f"{math.floor(value)} %"


def noun(kind: Kind) -> str:
    """What a task of this kind counts."""
    return "iteration" if kind is Kind.LOOP else "row"


def count_of(done: int, total: int | None, is_estimate: bool, noun: str = "row") -> str:
    """``212,340 of about 336,776 rows``; without the total where it is unknown."""
    if total is None:
        return plural(done, noun)
    about = "about " if is_estimate else ""
    return f"{count(done)} of {about}{plural(total, noun)}"


def amount(progress: Progress) -> str:
    """How much is done: rows of a copy, iterations of a loop."""
    total, is_estimate = progress.rows_total, progress.rows_total_is_estimate
    return count_of(progress.rows_committed, total, is_estimate, noun(progress.kind))


def duration(seconds: float) -> str:
    """``1 min 52 s``, ``3 h 05 min``, ``2 d 4 h``: two units at most."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, rest = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {rest:02} min"
    days, rest = divmod(hours, 24)
    return f"{days} d {rest} h"


def duration_range(low_seconds: float, high_seconds: float) -> str:
    """A range in one unit: ``2–4 min``; ``about 3 min`` where both ends read the same."""
    high = max(0.0, high_seconds)
    low = min(max(0.0, low_seconds), high)
    if high < 10:
        return "under 10 s"
    unit_seconds, unit, step = _range_unit(high)
    lowest = math.floor(low / unit_seconds / step + 1e-9) * step
    highest = math.ceil(high / unit_seconds / step - 1e-9) * step
    if lowest == highest:
        return f"about {highest:g} {unit}"
    return f"up to {highest:g} {unit}" if lowest == 0 else f"{lowest:g}–{highest:g} {unit}"


def _range_unit(high: float) -> tuple[int, str, float]:
    if high <= 90:
        return 1, "s", 5
    if high <= 90 * 60:
        return 60, "min", 1 if high < 20 * 60 else 5
    if high < 48 * 3600:
        return 3600, "h", 0.5 if high < 10 * 3600 else 1
    return 86_400, "d", 0.5


def time_left(progress: Progress) -> str:
    """``2–4 min left``, from the estimate's ends, else from its middle; empty where there is none."""
    low, high = progress.eta_low_seconds, progress.eta_high_seconds
    if low is None or high is None:
        low = high = progress.eta_seconds
    return "" if low is None or high is None else f"{duration_range(low, high)} left"


def clock(time: datetime) -> str:
    """Local clock time: ``14:30:15``."""
    return f"{time.astimezone():%H:%M:%S}"


def facts(progress: Progress) -> list[str]:
    """Speed, time left, time spent and what limits the run, as far as they are known."""
    stalled = is_stalled(progress)
    moving = progress.state in (State.RUNNING, State.PAUSING) and not stalled
    found = [
        f"{short(progress.speed)} {noun(progress.kind)}s/s"
        if moving and progress.speed is not None
        else "",
        time_left(progress) if moving else "",
        duration(progress.elapsed_seconds) if progress.elapsed_seconds else "",
        f"limited by {progress.limited_by}" if moving and progress.limited_by else "",
    ]
    if stalled:
        waiting = progress.waiting_for or progress.current_table
        found.append(
            f"stalled for {duration(progress.stalled_seconds)}"
            + (f", waiting for {waiting}" if waiting else "")
        )
    elif progress.waiting_for:
        found.append(f"waiting for {progress.waiting_for}")
    return [fact for fact in found if fact]
