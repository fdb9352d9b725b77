"""Types between databases: what a column becomes, and whether every value survives."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from syncmon_ext.sync.reflect.shape import ColumnShape

# The rules that a value is checked by, or changed by, on its way. SQLite -> PostgreSQL: which storage
# class a value must have. PostgreSQL -> SQLite: what its text becomes.
INTEGER, REAL, TEXT, BLOB, BOOLEAN, NUMBER = "integer", "real", "text", "blob", "boolean", "number"
DATE, TIMESTAMP, TIMESTAMPTZ, UUID, ANY = "date", "timestamp", "timestamptz", "uuid", "any"

_INTEGERS: Final = {"smallint": 2, "integer": 4, "bigint": 8}
_TEXTS: Final = ("text", "character varying", "character", "name", "citext")
# In a STRICT table it keeps a value as it is; in others it is a name like any other, of NUMERIC affinity.
STRICT_ANY: Final = "ANY"
# PostgreSQL writes xml without the declaration that a cast keeps.
XML_AS: Final = {"xml": "::text", "xml[]": "::text[]"}
# As it ends a field of a composite, or is what a domain is of.
_XML_WITHIN: Final = re.compile(r"(^| )xml(\[\])?(?=[,;]|$)")
_MODIFIER: Final = re.compile(r"\((\d+)(?:,(-?\d+))?\)")


class Mapping(msgspec.Struct, frozen=True, kw_only=True):
    """What a column becomes."""

    type: str
    check: str = ""
    lossy: bool = False
    reason: str = ""
    error: str = ""  # it cannot be copied at all


def modifier(name: str) -> tuple[int, int | None] | None:
    """The numbers of a type's modifier: (10, 2) of ``numeric(10,2)``; None where it has none."""
    found = _MODIFIER.search(name)
    return (int(found[1]), int(found[2]) if found[2] else None) if found else None


def telling_xml(column: ColumnShape, mapping: Mapping) -> Mapping:
    """``mapping``, told to be lossy where PostgreSQL writes no xml of a value as it is kept."""
    if not _XML_WITHIN.search(column.definition or ""):
        return mapping
    return msgspec.structs.replace(
        mapping,
        lossy=True,
        reason=f"xml within {column.type}: PostgreSQL leaves out its declaration (<?xml … ?>)",
    )


def sqlite_to_new_postgresql(column: ColumnShape, stored: set[str]) -> Mapping:
    """``stored`` are the storage classes seen in a sample of the column."""
    declared = column.type.upper()
    if declared.startswith("BOOL"):
        return Mapping(
            type="boolean", check=BOOLEAN, reason="0 and 1; any other value stops the copy"
        )
    if column.base == "INTEGER":
        return Mapping(type="bigint", check=INTEGER)
    if column.base == "REAL":
        return Mapping(type="double precision", check=REAL)
    if column.base == "TEXT":
        return Mapping(type="text", check=TEXT)
    if column.base == "BLOB" and declared:
        return Mapping(type="bytea", check=BLOB)
    # NUMERIC affinity (decimals, dates) and no declared type at all: what is stored decides.
    stored = stored - {"null"}
    reason = f"declared {column.type or 'without a type'}; stored as {' and '.join(sorted(stored))}"
    if not stored:
        reason = f"declared {column.type or 'without a type'}; no value seen"
    if stored == {"blob"}:
        return Mapping(type="bytea", check=BLOB, reason=reason)
    if stored == {"integer"} and not declared.startswith(("NUM", "DEC")):
        return Mapping(type="bigint", check=INTEGER, reason=reason)
    if stored == {"real"} and not declared:
        return Mapping(type="double precision", check=REAL, reason=reason)
    if stored and stored <= {"integer", "real"}:
        return Mapping(type="numeric", check=NUMBER, reason=reason)
    if not stored and declared.startswith(("NUM", "DEC")):
        return Mapping(type="numeric", check=NUMBER, reason=reason)
    if stored <= {"text"}:
        return Mapping(type="text", check=TEXT, reason=reason)
    return Mapping(
        type="text",
        check=ANY,
        lossy=True,
        reason=f"{reason}: PostgreSQL has no column for both; they would become text",
    )


def sqlite_to_postgresql(column: ColumnShape, target: ColumnShape) -> Mapping:
    """A column of a SQLite table into an existing column of PostgreSQL."""
    base, full = target.base, target.type
    size = modifier(full)

    def exact(check: str, reason: str = "") -> Mapping:
        return Mapping(type=full, check=check, reason=reason)

    if base in _INTEGERS:
        return exact(INTEGER)
    if base == "boolean":
        return exact(BOOLEAN, "0 and 1; any other value stops the copy")
    if base == "double precision":
        return exact(REAL)
    if base == "numeric":
        if size is None:
            return exact(NUMBER)
        return exact(f"numeric:{size[1] or 0}", "a value with more decimals stops the copy")
    if base in ("text", "json", "xml") or (target.kind == "e" and not full.endswith("[]")):
        return exact(TEXT)
    if base == "character varying":
        return exact(f"text:{size[0]}" if size else TEXT)
    if base == "character" and size:
        return exact(
            f"char:{size[0]}", "a value of another length stops the copy: it would be padded"
        )
    if base == "bytea":
        return exact(BLOB)
    if base in ("date", "uuid"):
        return exact(base)
    if base == "timestamp without time zone" and size is None:
        return exact(TIMESTAMP, "text in another form than YYYY-MM-DD HH:MM:SS stops the copy")
    if base == "timestamp with time zone" and size is None:
        return exact(TIMESTAMPTZ, "text without an offset stops the copy")
    return Mapping(
        type=full,
        check=ANY,
        lossy=True,
        reason=f"{column.type or 'no type'} into {full}: PostgreSQL may write the value in another form",
    )


def postgresql_to_new_sqlite(column: ColumnShape) -> Mapping:
    """A column of PostgreSQL in a table that is made in SQLite."""
    if column.type in _INTEGERS or column.type == "oid":
        return Mapping(type="INTEGER", check=INTEGER)
    if column.type == "boolean":
        return Mapping(type="BOOLEAN", check=BOOLEAN)
    if column.type in ("double precision", "real"):
        return Mapping(
            type="",
            check=REAL,
            reason="no declared type, since SQLite's REAL columns turn -0 into 0; it has no NaN: such a "
            "value stops the copy",
        )
    if column.type == "bytea":
        return Mapping(type="BLOB", check=BLOB)
    reason = "" if column.base in _TEXTS else f"the exact text of {column.type}"
    return Mapping(type="TEXT", check=TEXT, reason=reason)


def postgresql_to_sqlite(column: ColumnShape, target: ColumnShape) -> Mapping:
    """A column of PostgreSQL into an existing column of SQLite."""
    new = postgresql_to_new_sqlite(column)
    allowed = {
        INTEGER: ("INTEGER", "NUMERIC", "BLOB", "TEXT"),
        BOOLEAN: ("INTEGER", "NUMERIC", "BLOB"),
        REAL: ("REAL", "BLOB", "TEXT"),
        BLOB: ("BLOB", "TEXT", "INTEGER", "NUMERIC", "REAL"),  # a BLOB is never converted
        TEXT: ("TEXT", "BLOB"),
    }[new.check]
    if target.base == "TEXT" and new.check in (INTEGER, REAL):
        return Mapping(type=target.type, check=TEXT, reason="the exact text of the number")
    if target.base in allowed:
        return Mapping(type=target.type, check=new.check, reason=new.reason)
    return Mapping(
        type=target.type,
        check=new.check,
        lossy=True,
        reason=f"{column.type} into {target.type or 'no type'} ({target.base} affinity): SQLite may turn "
        "a value into another type",
    )


def sqlite_to_new_sqlite(column: ColumnShape) -> Mapping:
    """A column of SQLite in a table that is made in SQLite, and is not STRICT."""
    if column.base == "BLOB" and column.type.upper() == STRICT_ANY:
        reason = "no declared type: outside of a STRICT table ANY turns texts into numbers"
        return Mapping(type="", reason=reason)
    return Mapping(type=column.type)


def sqlite_to_sqlite(column: ColumnShape, target: ColumnShape) -> Mapping:
    """A column of SQLite into an existing column of SQLite."""
    same = target.base in (column.base, "BLOB") or {column.base, target.base} == {
        "INTEGER",
        "NUMERIC",
    }
    if same:
        return Mapping(type=target.type)
    return Mapping(
        type=target.type,
        lossy=True,
        reason=f"{column.type or 'no type'} ({column.base} affinity) into {target.type} "
        f"({target.base} affinity): SQLite may turn a value into another type",
    )


def postgresql_to_postgresql(column: ColumnShape, target: ColumnShape) -> Mapping:
    """A column of PostgreSQL into an existing column of PostgreSQL."""
    if column.type == target.type:
        if column.definition == target.definition:
            return Mapping(type=target.type)
        return Mapping(
            type=target.type,
            lossy=True,
            reason=f"{column.type} is {column.definition} in the source and {target.definition} in the "
            "target: PostgreSQL may round, cut or refuse a value",
        )
    size, room = modifier(column.type), modifier(target.type)
    a, b = column.base, target.base
    widened = (
        (a in _INTEGERS and b in _INTEGERS and _INTEGERS[a] <= _INTEGERS[b])
        or (a in _INTEGERS and target.type == "numeric")
        or target.type in ("text", "character varying")
        or (
            a == b == "character varying" and size is not None and room is not None and size <= room
        )
        or (a == b == "numeric" and _holds(size, room))
        or (a == b == target.type and not target.type.endswith("[]") and b != "character")
    )
    if widened:
        return Mapping(type=target.type, reason=f"{column.type} fits into {target.type}")
    return Mapping(
        type=target.type,
        lossy=True,
        reason=f"{column.type} into {target.type}: PostgreSQL may round, cut or refuse a value",
    )


def _holds(size: tuple[int, int | None] | None, room: tuple[int, int | None] | None) -> bool:
    if room is None:
        return True
    if size is None:
        return False
    scale, scale_room = size[1] or 0, room[1] or 0
    return scale <= scale_room and size[0] - scale <= room[0] - scale_room
