"""Columns that PostgreSQL fills up with blanks, between databases that count letters differently."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from syncmon_ext.model.plan import ColumnPlan, UnitPlan
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.reflect.shape import TableShape

BYTES: Final = "SQL_ASCII"  # every byte is a letter
_PADDED: Final = re.compile(r"(^|\W)character\(\d")  # "character varying" is none
_KEPT: Final = ("text", "character varying")


def told(
    source: PostgresSession,
    target: PostgresSession,
    units: Sequence[UnitPlan],
    shapes: dict[str, TableShape],
) -> list[UnitPlan]:
    """The units, with a warning for each column whose values may end with other blanks in ``target``."""
    counting = [_encoding(session) for session in (source, target)]
    if counting[0] == counting[1] or BYTES not in counting:
        return list(units)
    return [
        msgspec.structs.replace(
            unit,
            warnings=unit.warnings
            + [
                _warning(column, *counting)
                for column in unit.copied
                if _is_padded(column, shapes.get(unit.unit_id))
            ],
        )
        for unit in units
    ]


def _encoding(session: PostgresSession) -> str:
    return session.raw.info.parameter_status("server_encoding") or ""


def _is_padded(column: ColumnPlan, shape: TableShape | None) -> bool:
    known = shape.column(column.name) if shape is not None else None
    definition = (known.definition if known is not None else None) or ""
    padded = _PADDED.search(column.source_type) or _PADDED.search(definition)
    return padded is not None and not column.target_type.startswith(_KEPT)


def _warning(column: ColumnPlan, read: str, kept: str) -> str:
    return (
        f"column {column.name} is {column.source_type}, filled up with blanks, and the source counts letters "
        f"in {read}, the target in {kept}: a value with letters beyond ASCII is refused as too long, "
        'or has another number of blanks at its end, which = does not see and verify = "hash" takes for a '
        "difference; make the target's column text or varchar"
    )
