"""Moments in SQLite's text form as PostgreSQL writes them: one form for one moment."""

from __future__ import annotations

import re
from typing import Final

_MOMENT: Final = re.compile(
    r"(?P<year>\d{4,7})-(?P<month>\d\d)-(?P<day>\d\d)"
    r"(?:[ T](?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.(?P<fraction>\d{1,6}))?)?)?"
    r"(?:Z|(?P<sign>[+-])(?P<hours>\d\d)(?::?(?P<minutes>\d\d))?)?(?P<bc> BC)?"
)
_DAY: Final = 86_400_000_000  # microseconds


def date(text: str) -> str:
    """The day that ``text`` says."""
    return _written(text, with_time=False)


def timestamp(text: str) -> str:
    """The time that ``text`` says; one with an offset in UTC."""
    return _written(text, with_time=True)


def _written(text: str, *, with_time: bool) -> str:
    found = _MOMENT.fullmatch(text)
    if found is None:  # infinity
        return text
    year = 1 - int(found["year"]) if found["bc"] else int(found["year"])
    micros = int((found["fraction"] or "0").ljust(6, "0"))
    micros += 1_000_000 * int(found["second"] or 0)
    micros += 60_000_000 * (int(found["minute"] or 0) + 60 * int(found["hour"] or 0))
    offset = 60_000_000 * (int(found["minutes"] or 0) + 60 * int(found["hours"] or 0))
    micros += offset if found["sign"] == "-" else -offset
    days, micros = divmod(_days(year, int(found["month"]), int(found["day"])) * _DAY + micros, _DAY)
    year, month, day = _civil(days)
    shown = f"{year if year > 0 else 1 - year:04d}-{month:02d}-{day:02d}"
    if with_time:
        seconds, fraction = divmod(micros, 1_000_000)
        shown += f" {seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
        if fraction:
            shown += f".{fraction:06d}".rstrip("0")
    return shown if year > 0 else f"{shown} BC"


def _days(year: int, month: int, day: int) -> int:
    """Days since 0000-03-01 (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms")."""
    year -= month <= 2
    era, of_era = divmod(year, 400)
    of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year


def _civil(days: int) -> tuple[int, int, int]:
    """The inverse of ``_days``."""
    era, of_era = divmod(days, 146_097)
    years = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * years + years // 4 - years // 100)
    shifted = (5 * of_year + 2) // 153
    day = of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9
    return years + era * 400 + (month <= 2), month, day
