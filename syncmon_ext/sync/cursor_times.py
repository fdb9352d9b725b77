"""Cursors of times: where the last one lies in the future, rows of today are never new."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync.quoting import ident

# As PostgreSQL writes it in the style ISO, and as it is written into SQLite.
_DAY: Final = re.compile(r"(\d{4,})-(\d\d)-(\d\d)(?!.*BC$)")
AHEAD: Final = timedelta(days=1)  # that a day may be by its own clock and zone


def warnings(unit: UnitPlan, last: Any) -> list[str]:
    """What to know of the ``last`` value of a cursor, where it is a time that has not come yet."""
    if not isinstance(last, str) or (found := _DAY.match(last)) is None:
        return []
    latest = datetime.now(UTC) + AHEAD
    if tuple(map(int, found.groups())) <= (latest.year, latest.month, latest.day):
        return []
    return [
        f"the greatest value of the cursor {unit.cursor} is of {found[0]}, which lies in the future: once "
        "it is copied, rows that come before it are never read; correct it (it comes first of "
        f"ORDER BY {ident(unit.cursor or '')} DESC), or leave it out with where"
    ]
