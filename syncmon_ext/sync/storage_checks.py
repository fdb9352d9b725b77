"""Checks of SQLite's values: a value that does not match its column stops the copy and is named.

SQLite stores any value in any column. The checks are part of the SELECT, where they cost least; only a
value that fails one is handed to Python, and there it raises.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
from typing import Any, Final

from syncmon_ext.model.errors import BadRow
from syncmon_ext.model.plan import ColumnPlan, UnitPlan
from syncmon_ext.sync import inherited, types
from syncmon_ext.sync.databases.sqlite import SqliteSession
from syncmon_ext.sync.quoting import read_column, read_columns, shown

SHOWN: Final = 80  # characters of a value in a message
_EXACT: Final = 2**53  # integers up to here are doubles too
_DAY: Final = "-".join(["[0-9]" * 4, "[0-9]" * 2, "[0-9]" * 2])
_DATE: Final = r"\d{4,7}-\d\d-\d\d"
_TIME: Final = _DATE + r"[ T]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?"
# As PostgreSQL writes a number; what it would read besides, -0 too, comes back as another text.
_NUMBER: Final = re.compile(r"(?!-0(\.0+)?\Z)-?(0|[1-9]\d*)(\.\d+)?|NaN|-?Infinity")
_ALL_DIGITS: Final = Context(
    prec=MAX_PREC, Emin=MIN_EMIN, Emax=MAX_EMAX
)  # the usual one rounds to 28
_ENDLESS: Final = r"|-?infinity"
_FORMS: Final[dict[str, re.Pattern[str]]] = {
    types.DATE: re.compile(_DATE + "( BC)?" + _ENDLESS),
    types.TIMESTAMP: re.compile(_TIME + "( BC)?" + _ENDLESS),
    types.TIMESTAMPTZ: re.compile(_TIME + r"(Z|[+-]\d\d(:?\d\d)?)( BC)?" + _ENDLESS),
    types.UUID: re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
}
_STORAGE: Final = {
    types.INTEGER: "an integer",
    types.REAL: "a real number",
    types.TEXT: "a text",
    types.BLOB: "a blob",
    types.BOOLEAN: "0 or 1",
    types.NUMBER: "a number",
    types.DATE: "a date YYYY-MM-DD",
    types.TIMESTAMP: "a time YYYY-MM-DD HH:MM:SS",
    types.TIMESTAMPTZ: "a time YYYY-MM-DD HH:MM:SS with its offset",
    types.UUID: "a uuid in lower case",
}


class Checks:
    """The checks of one unit, installed in one session; remembers the value that failed."""

    def __init__(self, session: SqliteSession, unit: UnitPlan) -> None:
        self.unit = unit
        self.failed: BadRow | None = None
        keys = read_columns(unit.key)
        self._keys = f", {keys}" if keys else ""
        self._forms = {
            number: column.check
            for number, column in enumerate(unit.copied)
            if column.check in _FORMS or column.check.startswith(("numeric:", types.NUMBER))
        }
        session.raw.create_function("_syncmon_bad", -1, self._bad)
        session.raw.create_function("_syncmon_form", -1, self._formed)

    def selected(self) -> str:
        """The SELECT list: each column behind its check."""
        return ", ".join(
            self._expression(number, column) for number, column in enumerate(self.unit.copied)
        )

    def _expression(self, number: int, column: ColumnPlan) -> str:
        name, rule = read_column(column.name), column.check
        bad = f"_syncmon_bad({number}, {name}{self._keys})"
        if rule in (types.ANY, ""):
            return name
        if number in self._forms:
            form = f"_syncmon_form({number}, {name}{self._keys})"
            if rule == types.NUMBER:
                plain = f"typeof({name}) = 'integer' OR (typeof({name}) = 'real' AND {name} <> 0)"
                return f"CASE WHEN {plain} THEN {name} ELSE {form} END"
            if rule != types.DATE:
                return form
            plain = f"typeof({name}) = 'text' AND {name} GLOB '{_DAY}'"
            return f"CASE WHEN {plain} THEN {name} ELSE {form} END"
        if rule in (types.INTEGER, types.TEXT, types.BLOB):
            return f"CASE typeof({name}) WHEN '{rule}' THEN {name} WHEN 'null' THEN NULL ELSE {bad} END"
        test = {
            types.REAL: f"typeof({name}) = 'real' OR (typeof({name}) = 'integer' "
            f"AND {name} BETWEEN -{_EXACT} AND {_EXACT})",
            types.BOOLEAN: f"typeof({name}) = 'integer' AND {name} IN (0, 1)",
        }.get(rule)
        if test is None:
            kind, _, size = rule.partition(":")
            compare = "<=" if kind == "text" else "="
            test = f"typeof({name}) = 'text' AND length({name}) {compare} {int(size)}"
        return f"CASE WHEN {name} IS NULL OR ({test}) THEN {name} ELSE {bad} END"

    def _formed(self, number: int, value: Any, *key: Any) -> Any:
        rule = self._forms[number]
        if value is None:
            return None
        if rule == types.NUMBER:
            if _is_number(value):
                return value
        elif rule.startswith("numeric:"):
            if _is_number(value) and _fits(value, int(rule.partition(":")[2])):
                return value
        elif isinstance(value, str) and _FORMS[rule].fullmatch(value):
            return value
        return self._bad(number, value, *key)

    def _bad(self, number: int, value: Any, *key: Any) -> Any:
        column = self.unit.copied[number]
        self.failed = BadRow(
            f"table {shown(self.unit.source_schema, self.unit.source_table)}, column {column.name}: "
            f"{described(value)} is not {_wanted(column.check)} "
            f"(declared {column.source_type or 'no type'}, goes to {column.target_type})"
            + in_the_row(self.unit.key, key),
            hint="correct the value, leave it out with where, or make the target column of a type that "
            "holds it",
            column=column.name,
            reason=f"the value is not {_wanted(column.check)}",
        )
        raise self.failed


def _wanted(rule: str) -> str:
    kind, _, size = rule.partition(":")
    if kind == "numeric":
        return f"a number with at most {size} decimals"
    if kind == "char":
        return f"a text of {size} characters"
    if size:
        return f"a text of at most {size} characters"
    return _STORAGE[kind]


def in_the_row(names: Sequence[str], values: Sequence[Any]) -> str:
    """The end of a message that tells which row it is, by its key."""
    pairs = [f"{name} = {_shown(value)}" for name, value in zip(names, values, strict=False)]
    return f", in the row where {' and '.join(pairs)}" if pairs else ""


def described(value: Any) -> str:
    """A value for a message: what it says itself only where the log may hold values of rows."""
    if inherited.logs_details():
        return _shown(value)
    if isinstance(value, str):
        return f"a text of {len(value):,} characters"
    if isinstance(value, bytes):
        return f"a blob of {len(value):,} bytes"
    return "a real number" if isinstance(value, float) else "an integer"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return _NUMBER.fullmatch(value) is not None
    return isinstance(value, int) or (isinstance(value, float) and repr(value) != "-0.0")


def _fits(value: Any, scale: int) -> bool:
    if isinstance(value, int):
        return scale >= 0 or value % 10**-scale == 0
    try:
        number = Decimal(repr(value) if isinstance(value, float) else value)
    except (ArithmeticError, TypeError, ValueError):
        return False
    if not number.is_finite():
        return True
    exponent = number.normalize(_ALL_DIGITS).as_tuple().exponent
    return isinstance(exponent, int) and -exponent <= scale
