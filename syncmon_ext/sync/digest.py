"""Digests of content: equal for equal rows, whatever the database and the order they lie in.

Each value has one canonical text, each row the MD5 of its values' texts, quoted, with commas between them;
the digest of a set of rows is the sum of its rows' (two sums of 60 bits each), so that the digests of parts
add up.
"""
# ruff: noqa: S608  # names are quoted by sync.quoting; values are bound or quoted by the driver

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from syncmon_ext.model.chunk import KeyValue
from syncmon_ext.model.errors import BadRow
from syncmon_ext.model.plan import ColumnPlan, UnitPlan
from syncmon_ext.sync import moments, ranges, types
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sessions import AnySession
from syncmon_ext.sync.quoting import ident, read_columns, relation

_ARGUMENTS: Final = 90  # of one concat; PostgreSQL takes 100
_TYPED: Final = "typed"
_BITS: Final = 15  # hexadecimal digits of each half


class Digest(msgspec.Struct, frozen=True):
    """The content of a set of rows."""

    rows: int = 0
    low: int = 0
    high: int = 0

    def __add__(self, other: Digest) -> Digest:
        return Digest(self.rows + other.rows, self.low + other.low, self.high + other.high)

    def __str__(self) -> str:
        return f"{self.rows}:{self.low}:{self.high}"

    @classmethod
    def parsed(cls, text: str) -> Digest:
        """The digest that ``str`` wrote."""
        return cls(*map(int, text.split(":")))


def hashed(unit: UnitPlan) -> list[ColumnPlan]:
    """The columns that can be compared: all but those that ``allow_lossy`` lets change, and those that a
    table of its own making computes."""
    # A function that a new table computes by may say something else in the target.
    listed = unit.columns if unit.makes_table else unit.copied
    return [column for column in listed if not column.lossy]


def of_source(
    session: AnySession,
    schema: str | None,
    unit: UnitPlan,
    low: KeyValue | None,
    high: KeyValue | None,
) -> Digest:
    """The content of a range of the source, read in the state that ``session`` is in."""
    return _of(session, schema or unit.source_schema, unit.source_table, unit, low, high)


def of_landed(
    session: AnySession, table: str, unit: UnitPlan, low: KeyValue | None, high: KeyValue | None
) -> Digest:
    """The content of a range of the table that rows landed in."""
    return _of(session, unit.target_schema, table, as_landed(unit), low, high)


def as_landed(unit: UnitPlan) -> UnitPlan:
    """The unit as a range of the landing table is asked for: unfiltered, and in the target's words."""
    collations = unit.key_collations
    if unit.route != "sqlite_sqlite":  # SQLite gives every index a collation, one of numbers too
        collations = [None] * len(unit.key)
    return msgspec.structs.replace(unit, where={}, window=None, key_collations=collations)


def _of(
    session: AnySession,
    schema: str | None,
    table: str,
    unit: UnitPlan,
    low: KeyValue | None,
    high: KeyValue | None,
) -> Digest:
    columns, place = hashed(unit), relation(schema, table)
    forms = [_form(unit, column) for column in columns]
    if isinstance(session, PostgresSession):
        where = ranges.where(unit, low, high, session.literal)
        texts = [_expression(column, form) for column, form in zip(columns, forms, strict=True)]
        halves = ", ".join(
            f"coalesce(sum(('x' || substr(h, {start}, {_BITS}))::bit({4 * _BITS})::bigint), 0)"
            for start in (1, 1 + _BITS)
        )
        row = session.execute(
            f"SELECT count(*), {halves} FROM "
            f"(SELECT md5(convert_to({_joined(texts)}, 'UTF8')) AS h FROM {place}{where} OFFSET 0) AS r"
        )[0]
        return Digest(*map(int, row))
    bind = ranges.Binder()
    where = ranges.where(unit, low, high, bind)
    listed = read_columns(column.name for column in columns) or "NULL"
    ask, written = f"SELECT {listed} FROM {place}{where}", [_FORMS[form] for form in forms]
    try:
        with session.guard():
            return _sum(session.raw.execute(ask, bind.values), written)
    except BadRow:  # a text that is not UTF-8, which a copy from SQLite to SQLite keeps as it is
        with session.guard(), session.raw_texts(_escaped):
            return _sum(session.raw.execute(ask, bind.values), written)


def _escaped(text: bytes) -> str:
    return text.decode(errors="surrogateescape")


def _joined(texts: Sequence[str]) -> str:
    """A balanced concatenation: a chain of 1,600 operators is too deep for the server's stack."""
    parts = [f"quote_nullable({text})" for text in texts]
    while len(parts) > 1:
        parts = [
            f"concat_ws(',', {', '.join(parts[at : at + _ARGUMENTS])})"
            for at in range(0, len(parts), _ARGUMENTS)
        ]
    return parts[0] if parts else "''"


def _sum(rows: Any, forms: Sequence[Callable[[Any], str]]) -> Digest:
    count = low = high = 0
    for row in rows:
        text = ",".join(
            "NULL" if value is None else _quoted(form(value))
            for value, form in zip(row, forms, strict=False)
        )
        digest = hashlib.md5(
            text.encode("utf-8", "surrogatepass"), usedforsecurity=False
        ).hexdigest()
        count += 1
        low += int(digest[:_BITS], 16)
        high += int(digest[_BITS : 2 * _BITS], 16)
    return Digest(count, low, high)


def _quoted(text: str) -> str:
    """As PostgreSQL's quote_nullable does."""
    quoted = "'" + text.replace("'", "''") + "'"
    return "E" + quoted.replace("\\", "\\\\") if "\\" in text else quoted


def _form(unit: UnitPlan, column: ColumnPlan) -> str:
    """The rule that both sides' values are written by."""
    if unit.route == "sqlite_sqlite":
        return _TYPED
    if unit.route == "postgresql_postgresql":
        return types.BLOB if column.source_type == column.target_type == "bytea" else types.TEXT
    kind = column.check.partition(":")[0]
    return {"numeric": types.NUMBER, "char": types.TEXT, "": types.TEXT}.get(kind, kind)


def _expression(column: ColumnPlan, form: str) -> str:
    name = ident(column.name)
    if form == types.BOOLEAN:
        return f"{name}::integer::text"
    if form == types.REAL:  # the text of a real is what travels, not its widened bits
        return f"encode(float8send({name}::text::float8), 'hex')"
    if form == types.BLOB:
        return f"md5({name})"  # its text would be several times as large
    if form == types.NUMBER:
        return f"trim_scale({name})::text"
    if form == types.TIMESTAMPTZ:
        return f"({name} AT TIME ZONE 'UTC')::text"
    name += types.XML_AS.get(column.source_type) or types.XML_AS.get(column.target_type, "")
    # format() takes the type's own text; a cast would trim character(n). IS NOT NULL would ask for the
    # fields of a composite.
    return f"CASE WHEN {name} IS DISTINCT FROM NULL THEN format('%s', {name}) END"


def _or_typed(form: Callable[[Any], str]) -> Callable[[Any], str]:
    """``form``, and for a value that it does not fit a text that no other side can have."""

    def written(value: Any) -> str:
        try:
            return form(value)
        except (ArithmeticError, TypeError, ValueError):
            return f"unfit {_typed(value)}"

    return written


def _real(value: Any) -> str:
    return struct.pack(">d", float(value)).hex()


def _number(value: Any) -> str:
    number = Decimal(repr(value) if isinstance(value, float) else value)
    if not number.is_finite():
        return str(number)
    text = f"{number:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def _typed(value: Any) -> str:
    if isinstance(value, float):
        return f"real {value.hex()}"
    return f"blob {_blob(value)}" if isinstance(value, bytes) else f"{type(value).__name__} {value}"


def _blob(value: Any) -> str:
    return hashlib.md5(value, usedforsecurity=False).hexdigest()


_FORMS: Final[dict[str, Callable[[Any], str]]] = {
    _TYPED: _typed,
    types.TEXT: str,
    types.INTEGER: str,
    types.BOOLEAN: str,
    types.UUID: str,
    types.REAL: _or_typed(_real),
    types.NUMBER: _or_typed(_number),
    types.BLOB: _or_typed(_blob),
    types.DATE: _or_typed(moments.date),
    types.TIMESTAMP: _or_typed(moments.timestamp),
    types.TIMESTAMPTZ: _or_typed(moments.timestamp),
}
