"""The plan of one table: everything that its copy and its swap need to know."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec

from syncmon_ext.model.plan import CheckPlan, ColumnPlan, ForeignKeyPlan, IndexPlan, UnitPlan
from syncmon_ext.model.task import Consistency, Mode, TableSpec, TaskSpec
from syncmon_ext.sync import (
    cascades,
    columns,
    cursor_texts,
    cursors,
    filters,
    keys,
    merging,
    new_checks,
    new_indexes,
    rowid_nulls,
    view_settings,
    widths,
)
from syncmon_ext.sync.databases.sessions import AnySession
from syncmon_ext.sync.merging import MergeKey
from syncmon_ext.sync.near_names import offered
from syncmon_ext.sync.quoting import shown
from syncmon_ext.sync.reflect.shape import TableShape
from syncmon_ext.sync.reflect.tables import where_to_look

FILLED: Final = ("table", "parent table", "partitioned")  # kinds of tables that rows can go to


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where a unit goes."""

    dialect: str
    schema: str | None
    table: str
    shape: TableShape | None
    schema_exists: bool


def planned(
    session: AnySession,
    spec: TaskSpec,
    table: TableSpec,
    ordinal: int,
    place: Place,
    shape: TableShape | None,
) -> UnitPlan:
    """The plan of one table whose source has ``shape``; ``errors`` say why it cannot be copied."""
    if shape is None:
        remedy = where_to_look(session, table.schema, table.name)
        error = f"no table {shown(table.schema, table.name)} in {session.name}; {remedy}"
        return _broken(spec, table, ordinal, place, error)
    errors: list[str] = []
    warnings: list[str] = []
    if table.name.lower().startswith("_syncmon"):
        errors.append(f"{table.name} belongs to syncmon and is not copied; take it out of tables")
    chosen, missing = columns.selected(shape, table.columns)
    if missing:
        errors.append(
            f"no column {', '.join(missing)} in {shape.name}; "
            + offered(missing, [column.name for column in shape.columns])
        )
    plans, column_errors, column_warnings = columns.planned(
        session, shape, chosen, place.dialect, place.shape
    )
    errors += column_errors
    warnings += column_warnings + view_settings.warnings(session, shape)
    errors += filters.problems(table.where, [column.name for column in shape.columns])
    errors += [
        f"where.{column.name}: {column.type} has operators of its own, which are not searched for; filter "
        "by another column, or copy a view"
        for column in shape.columns
        if column.name in table.where and column.has_own_operators
    ]
    key = keys.choose(shape, session.dialect, table.key)
    if spec.consistency is Consistency.CHUNK and key.method == "ctid":
        key = keys.without_snapshot(shape)
    if spec.consistency is Consistency.SNAPSHOT and session.dialect != "postgresql":
        errors.append(
            'consistency = "snapshot": SQLite exports no snapshot for several chunks; use "chunk", or '
            "leave it out"
        )
    merge = MergeKey()
    if spec.mode.merges:
        if key.errors:  # rows can be merged by what chunks cannot be cut by
            key = keys.choose(shape, session.dialect, None)
        merge = merging.choose(table, shape, place.shape, key, [c.name for c in chosen])
        errors += merge.errors
    cursor_type = ""
    if spec.mode is Mode.INCREMENTAL:
        cursor_type, cursor_errors = cursors.checked(
            shape, session.dialect, table.cursor, spec.lag_seconds
        )
        errors += cursor_errors
        if not cursor_errors:
            warnings += cursor_texts.warnings(session, shape, table.cursor)
        warnings.append("deletes in the source are not propagated")
    errors += key.errors
    warnings += key.warnings
    if spec.max_rejects and key.method not in ("key", "rowid"):
        errors.append(
            f"max_rejects: {shape.name} has no key to find and name bad rows by; leave it out, or give "
            "the table a unique key that is NOT NULL"
        )
    refused = [c for c in plans if c.lossy and not _allowed(spec, table, c)]
    errors += [
        f'column {c.name} would not survive: {c.reason}; allow_lossy = ["{c.name}"] copies it anyway'
        for c in refused
    ]
    swap, swap_reason = _swap(spec, place, plans, errors, warnings)
    errors += _place_errors(place)
    errors += widths.problems(place.dialect, shape.name, len(plans))
    if session.dialect == "sqlite" and table.schema not in (None, "main"):
        errors.append(f"schema = {table.schema!r}: SQLite has no schemas; leave it out")
    if not any(column.generated is None for column in plans) and not errors:
        errors.append(f"{shape.name} has no column to copy; list columns that are not generated")
    create = swap == "create" or (swap == "direct" and place.shape is None)
    same = session.dialect == place.dialect == "sqlite" and shape.kind == "table"
    whole = same and create and len(chosen) == len(shape.columns)
    if whole:
        plans = [
            msgspec.structs.replace(p, generated=c.generated, target_type=c.type, reason="")
            for p, c in zip(plans, chosen, strict=True)
        ]
    indexes: list[IndexPlan] = []
    checks: list[CheckPlan] = []
    if create and whole:
        indexes = new_indexes.of_statements(shape, merge.columns)
    elif create:
        pair = (session.dialect, place.dialect)
        if "sqlite" in pair:
            warnings += columns.not_made(chosen, plans)
        indexes, index_warnings = new_indexes.planned(shape, plans, pair, merge.columns)
        warnings += index_warnings
        checks, check_warnings = new_checks.planned(shape, plans, pair)
        warnings += check_warnings
    if place.dialect == "sqlite" and place.shape is not None:
        plans = rowid_nulls.marked(shape, plans, place.shape)
    unit = UnitPlan(
        unit_id=table.unit_id,
        ordinal=ordinal,
        source_schema=shape.schema,
        source_table=shape.name,
        target_schema=place.schema,
        target_table=place.table,
        columns=plans,
        key=key.columns,
        key_collations=key.collations,
        key_types=key.types,
        chunk_method=key.method,
        route=f"{session.dialect}_{place.dialect}",
        mode=spec.mode,
        direct=swap == "direct",
        makes_table=create,
        verify=spec.verify,
        max_rejects=spec.max_rejects,
        consistency=spec.consistency,
        merge_key=merge.columns,
        merge_collations=merge.collations,
        cursor=table.cursor,
        cursor_type=cursor_type,
        lag_seconds=spec.lag_seconds,
        create_sql=shape.sql if whole else None,
        indexes=indexes,
        checks=checks,
        foreign_keys=_foreign_keys(shape, plans, session.dialect) if create and not whole else [],
        swap=swap,
        swap_reason=swap_reason,
        where=table.where,
        rows_total=None if table.where else shape.rows,  # how many a filter keeps is not known
        rows_total_is_estimate=shape.rows_is_estimate,
        width_bytes=shape.width_bytes,
        warnings=warnings,
        errors=errors,
    )
    return msgspec.structs.replace(unit, fingerprint=_fingerprint(shape, unit))


def _allowed(spec: TaskSpec, table: TableSpec, column: ColumnPlan) -> bool:
    return column.name in spec.allow_lossy or f"{table.name}.{column.name}" in spec.allow_lossy


def _broken(spec: TaskSpec, table: TableSpec, ordinal: int, place: Place, error: str) -> UnitPlan:
    return UnitPlan(
        unit_id=table.unit_id,
        ordinal=ordinal,
        source_schema=table.schema,
        source_table=table.name,
        target_schema=place.schema,
        target_table=place.table,
        columns=[],
        key=[],
        chunk_method="whole",
        route="",
        mode=spec.mode,
        swap="create",
        rows_total=None,
        rows_total_is_estimate=True,
        errors=[error],
    )


def _fingerprint(shape: TableShape, unit: UnitPlan) -> str:
    # A table that the run itself made must not change it: the target counts by its columns' types.
    parts = [
        shape.fingerprint,
        [(c.name, c.source_type, c.target_type) for c in unit.copied],
        unit.key,
        unit.chunk_method,
        unit.target_schema,
        unit.target_table,
        unit.merge_key,
        unit.cursor,
    ]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]


def _place_errors(place: Place) -> list[str]:
    errors = []
    if not place.schema_exists:
        errors.append(
            f"the target has no schema {place.schema}; create it, or set target_schema"
            if place.dialect == "postgresql"
            else "target_schema: SQLite has no schemas; leave it out"
        )
    if place.dialect == "postgresql" and len(place.table.encode()) > columns.NAME_BYTES:
        errors.append(
            f"the name {place.table} is longer than PostgreSQL's {columns.NAME_BYTES} bytes; set target"
        )
    if place.table.lower().startswith(("_syncmon", "sqlite_")):
        errors.append(f"{place.table} is a name that is reserved; set target")
    if place.shape is not None and place.shape.kind not in FILLED:
        errors.append(f"target {place.table} is a {place.shape.kind}, not a table; set target")
    return errors


def _swap(
    spec: TaskSpec,
    place: Place,
    plans: Sequence[ColumnPlan],
    errors: list[str],
    warnings: list[str],
) -> tuple[str, str]:
    shape = place.shape
    if spec.direct:
        if spec.mode is not Mode.APPEND:
            errors.append(
                f"direct = true needs mode = append: {spec.mode} must be able to go back; leave direct "
                "out"
            )
        warnings.append("direct: rows are visible as they come, and a stop leaves them there")
        return "direct", "chunks are committed into the target table itself"
    if shape is None:
        return "create", "the target has no such table"
    if shape.triggers and not (place.dialect == "sqlite" and spec.mode is Mode.REPLACE):
        warnings.append(
            f"triggers of the target fire for each row: {', '.join(shape.triggers)}; they may change it"
        )
    if spec.mode.merges:
        return "merge", "rows are inserted or updated by key in one transaction"
    if spec.mode is Mode.APPEND:
        return "move", "rows are added to the table in one transaction"
    if place.dialect == "postgresql":
        harms = (
            cascades.error(shape.schema, shape.name, shape.inbound),
            cascades.heirs_error(shape.schema, shape.name, shape.heirs),
        )
        errors += [harm for harm in harms if harm is not None]
    if shape.delete_triggers:
        warnings.append(
            "triggers of the target fire when its old rows are deleted: "
            f"{', '.join(shape.delete_triggers)}; they may change other tables"
        )
    partial = {column.name for column in shape.columns if column.generated is None} - {
        column.name for column in plans
    }
    if shape.kind == "partitioned":
        return "move", "a partitioned table is filled, not replaced"
    if partial:
        return "move", f"the copy does not fill {', '.join(sorted(partial))}"
    if shape.dependents:
        return "move", f"a rename would lose: {', '.join(shape.dependents)}"
    return "rename", "nothing hangs on the table"


def _foreign_keys(
    shape: TableShape, plans: Sequence[ColumnPlan], dialect: str
) -> list[ForeignKeyPlan]:
    there = {column.name for column in plans}
    return [
        ForeignKeyPlan(
            name=key.name,
            columns=key.columns,
            schema=key.schema,
            table=key.table,
            references=key.references,
            on_delete=key.on_delete,
            on_update=key.on_update,
            emptied=key.emptied,
            match=key.match,
            deferrable=key.deferrable,
            # SQLite does not enforce its own: rows may break them.
            validate=dialect == "postgresql" and key.validated,
            enforced=key.enforced,
        )
        for key in shape.foreign_keys
        if set(key.columns) <= there
    ]
