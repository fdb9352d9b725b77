"""The key that a unit's chunks are ranges of: which one, and how its values travel as JSON."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from syncmon_ext.model.chunk import KeyValue
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync.near_names import offered
from syncmon_ext.sync.quoting import ident
from syncmon_ext.sync.reflect.shape import KeyShape, TableShape

POSTGRES_INTEGERS: Final = ("smallint", "integer", "bigint")


class KeyChoice(msgspec.Struct, frozen=True, kw_only=True):
    """How a table is cut; ``columns`` are empty for ``ctid`` and ``whole``."""

    method: str
    columns: list[str] = []
    collations: list[str | None] = []
    types: list[str] = []
    warnings: list[str] = []
    errors: list[str] = []


def choose(shape: TableShape, dialect: str, wanted: Sequence[str] | None) -> KeyChoice:
    """The best key of ``shape``: the one that is ``wanted``, the primary key, a unique not-null index,
    the physical order, or none."""
    if wanted:
        return _wanted(shape, list(wanted))
    usable = [key for key in shape.keys if key.usable]
    # An integer compares fastest and has no collation to agree on.
    usable.sort(key=lambda key: (not key.primary, len(key.columns)))
    if usable:
        return _by_key(shape, usable[0])
    if shape.kind == "table" and dialect == "sqlite" and shape.rowid:
        return KeyChoice(
            method="rowid",
            columns=[shape.rowid],
            collations=[None],
            types=["INTEGER"],
            warnings=[
                "no key that is declared NOT NULL: cut by rowid, which VACUUM may renumber and INSERT OR "
                "REPLACE changes; let neither run in the source while it is copied (a row may be missed), "
                "and after a pause this table starts again"
            ],
        )
    if shape.kind == "table" and dialect == "postgresql":
        lacking = (
            "that chunks can be cut by"
            if any(not _nullable(shape, key.columns) for key in shape.keys)
            else "that is NOT NULL"
        )
        return KeyChoice(
            method="ctid",
            warnings=[
                f"no key {lacking}: cut by physical order within one snapshot; after a pause this table "
                "starts again"
            ],
        )
    return KeyChoice(
        method="whole",
        warnings=[
            f"a {shape.kind} without a key is copied as one chunk: it resumes from its start"
        ],
    )


def without_snapshot(shape: TableShape) -> KeyChoice:
    """One chunk: between two states, the rows of a table without a key change their places."""
    return KeyChoice(
        method="whole",
        warnings=[
            f"{shape.name} has no key: without a snapshot it is copied as one chunk, and resumes from "
            "its start"
        ],
    )


def _by_key(shape: TableShape, key: KeyShape) -> KeyChoice:
    types = [column.type for n in key.columns if (column := shape.column(n)) is not None]
    return KeyChoice(
        method="key", columns=list(key.columns), collations=list(key.collations), types=types
    )


def _nullable(shape: TableShape, names: Sequence[str]) -> list[str]:
    return [n for n in names if (c := shape.column(n)) is not None and c.nullable]


def _wanted(shape: TableShape, wanted: list[str]) -> KeyChoice:
    missing = [name for name in wanted if shape.column(name) is None]
    if missing:
        remedy = offered(missing, [column.name for column in shape.columns])
        error = f"key: there is no column {', '.join(missing)} in {shape.name}; {remedy}"
        return KeyChoice(method="whole", errors=[error])
    for key in shape.keys:
        if key.columns == wanted and key.usable:
            return _by_key(shape, key)
    if nullable := _nullable(shape, wanted):
        why = f"{', '.join(nullable)} may be NULL"
    else:
        why = "no unique index in this order and in the columns' own collation, or its type has no bounds"
    others = [", ".join(key.columns) for key in shape.keys if key.usable]
    remedy = f"use key = [{others[0]}]" if others else "leave key out"
    return KeyChoice(
        method="whole",
        errors=[f"key = [{', '.join(wanted)}] cannot cut {shape.name}: {why}; {remedy}"],
    )


def selected(unit: UnitPlan) -> str:
    """The key's columns of PostgreSQL in a SELECT whose rows are key values: integers, and else texts."""
    return ", ".join(
        ident(name) if kind in POSTGRES_INTEGERS else f"{ident(name)}::text"
        for name, kind in zip(unit.key, unit.key_types, strict=True)
    )


def packed(values: Sequence[Any]) -> KeyValue:
    """Values of SQLite as JSON: integers and texts as they are, the rest tagged and exact."""
    return [_pack(value) for value in values]


def unpacked(key: KeyValue) -> list[Any]:
    """The values that ``packed`` packed."""
    return [_unpack(value) for value in key]


def _pack(value: Any) -> Any:
    if isinstance(value, float):
        return {"f": value.hex()}
    if isinstance(value, bytes):
        return {"b": base64.b64encode(value).decode()}
    return value


def _unpack(value: Any) -> Any:
    if isinstance(value, dict):
        if "f" in value:
            return float.fromhex(value["f"])
        return base64.b64decode(value["b"])
    return value
