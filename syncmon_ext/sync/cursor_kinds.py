"""The kind of a SQLite cursor's values: a column there may hold a few of another kind, which do not grow
with the others."""
# ruff: noqa: S608  # names are quoted by sync.quoting; values are bound

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from syncmon_ext.sync.databases.sqlite import SqliteSession
from syncmon_ext.sync.reflect.sqlite import affinity


class Kind(msgspec.Struct, frozen=True):
    """The values ``low <= value < high``, in the order of SQLite: numbers, then texts, then blobs."""

    name: str
    shown: str  # to a person
    low: Any
    high: Any  # None: there is nothing beyond them

    def within(self, column: str, bind: Callable[[Any], str]) -> str:
        """The condition on values of this kind."""
        low = f"{column} >= {bind(self.low)}"
        return low if self.high is None else f"{low} AND {column} < {bind(self.high)}"

    def without(self, column: str, bind: Callable[[Any], str]) -> str:
        """The condition on finite values of other kinds."""
        return f"NOT ({self.within(column, bind)}) AND {_NAMED.format(column)} <> '{ENDLESS}'"

    def holds(self, value: Any) -> bool:
        """True where ``value`` is one of them."""
        if type(value) in (int, float):
            return self is NUMBERS and math.isfinite(value)
        if isinstance(value, str):
            return self is TEXTS or (self is TIMES and self.low <= value < self.high)
        return self is BLOBS


NUMBERS: Final = Kind("numbers", "numbers", -sys.float_info.max, math.inf)
# They begin with a digit. A bound of "0" would be a number where the column has numeric affinity.
TIMES: Final = Kind("times", "texts that begin with a digit", "/", ":")
TEXTS: Final = Kind("texts", "texts", "", b"")
BLOBS: Final = Kind("blobs", "blobs", b"", None)

_KINDS: Final = {kind.name: kind for kind in (NUMBERS, TIMES, TEXTS, BLOBS)}
_DECLARED: Final = {"INTEGER": NUMBERS, "REAL": NUMBERS, "TEXT": TEXTS}
_DAY: Final = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*"
ENDLESS: Final = "infinite"  # numbers, but of no kind
# Names the kind of a value.
_NAMED: Final = (
    "CASE typeof({0}) WHEN 'text' THEN iif({0} >= '/' AND {0} < ':', 'times', 'texts') "
    "WHEN 'blob' THEN 'blobs' WHEN 'null' THEN NULL "
    f"ELSE iif({{0}} IN (9e999, -9e999), '{ENDLESS}', 'numbers') END"
)


class Usual(msgspec.Struct, frozen=True, kw_only=True):
    """What a cursor's values are like."""

    kind: Kind | None  # None where there are no values
    others: dict[str, int] = {}  # how many rows have values of which other kinds; NULL is none
    below: bool = False  # some of the others come before those of the kind


def usual(
    session: SqliteSession, rows: str, values: Sequence[Any], column: str, declared: str
) -> Usual:
    """The kind of most values of ``column`` in ``rows`` (a table, with conditions), or of those that its
    type says: how the first and the last of them look tells it, where the two are alike."""
    first, last = session.execute(
        f"SELECT {_NAMED.format('a.v')}, {_NAMED.format('z.v')} "
        f"FROM (SELECT min({column}) AS v FROM {rows}) AS a, (SELECT max({column}) AS v FROM {rows}) AS z",
        [*values, *values],
    )[0]
    if first == last and first in (None, "numbers", "times", "blobs"):
        return Usual(kind=_KINDS.get(first or ""))
    counts: Counter[str] = Counter()
    days = 0
    for name, count, of_days in session.execute(
        f"SELECT {_NAMED.format(column)}, count(*), total({column} GLOB '{_DAY}') FROM {rows} GROUP BY 1",
        values,
    ):
        if name is not None:
            counts[name] = count
            days += int(of_days) if name == "times" else 0
    kind = _kind(affinity(declared), counts, days)
    if kind is TEXTS:
        counts["texts"] += counts.pop("times", 0)
    if kind is not None:
        counts.pop(kind.name, None)
    others = {name: count for name, count in counts.items() if count}
    return Usual(kind=kind, others=others, below=first not in _within(kind))


def _kind(base: str, counts: Counter[str], days: int) -> Kind | None:
    sizes = {
        NUMBERS: counts["numbers"],
        TEXTS: counts["times"] + counts["texts"],
        BLOBS: counts["blobs"],
    }
    kind = _DECLARED.get(base)
    if kind is None or not sizes[kind]:
        kind = max(sizes, key=sizes.__getitem__)
    if not sizes[kind]:
        return None
    return TIMES if kind is TEXTS and days and days >= counts["texts"] else kind


def _within(kind: Kind | None) -> tuple[str, ...]:
    if kind is None:
        return ()
    return ("times", "texts") if kind is TEXTS else (kind.name,)
