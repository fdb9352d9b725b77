"""The plan of a task: every table's own plan, ordered and tied by foreign keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from graphlib import CycleError, TopologicalSorter
from typing import Final

import msgspec

from syncmon_ext.model.connection import Connection
from syncmon_ext.model.errors import CopyFailed
from syncmon_ext.model.plan import ColumnPlan, ForeignKeyPlan, Plan, UnitPlan
from syncmon_ext.model.task import Mode, TableSpec, TaskSpec
from syncmon_ext.sync import (
    consistency,
    engine_url,
    executors,
    foreign_keys,
    ledger,
    missing_types,
    new_checks,
    new_indexes,
    numbering,
    overlap,
    padding,
    unit_plan,
    watermark,
)
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sessions import READER, AnySession, opened
from syncmon_ext.sync.databases.sqlite import UTF8, SqliteSession
from syncmon_ext.sync.quoting import shown
from syncmon_ext.sync.reflect.shape import TableShape
from syncmon_ext.sync.reflect.tables import reflect_all
from syncmon_ext.sync.unit_plan import Place

_GUARANTEE: Final = (
    "exactly-once: rows, checkpoint and fence commit in one transaction of the target"
)


def planned(task_id: str, spec: TaskSpec, source: Connection, target: Connection) -> Plan:
    """The plan of ``spec``. Raises only where a database cannot be reached or understood, or chunks be copied
    where the task says."""
    executors.check(spec, source, target)
    with opened(source, READER) as reading:
        if engine_url.dialect(target) == "sqlite" and not engine_url.sqlite_path(target).exists():
            plan = _planned(task_id, spec, reading, None, target)
        else:
            with opened(target, f"{READER}/plan") as writing:
                plan = _planned(task_id, spec, reading, writing, target)
                if spec.mode is Mode.INCREMENTAL:
                    plan = _telling_lost(writing, _scoped(source, plan))
    return _scoped(source, plan)


def _scoped(source: Connection, plan: Plan) -> Plan:
    units = [msgspec.structs.replace(u, scope=watermark.scope(source, u)) for u in plan.units]
    return msgspec.structs.replace(plan, units=units)


def _telling_lost(target: AnySession, plan: Plan) -> Plan:
    """The plan, with a warning at each unit whose target has lost the rows of earlier runs."""
    sound = [unit for unit in plan.units if not unit.errors]
    if not ledger.is_current(target):
        return plan
    with suppress(CopyFailed):  # a table that may not be read is told when it is copied
        lost = watermark.lost(target, sound)
        units = [
            msgspec.structs.replace(u, warnings=[*u.warnings, lost[u.unit_id]])
            if u.unit_id in lost
            else u
            for u in plan.units
        ]
        return msgspec.structs.replace(plan, units=units)
    return plan


def _planned(
    task_id: str,
    spec: TaskSpec,
    source: AnySession,
    target: AnySession | None,
    connection: Connection,
) -> Plan:
    units: list[UnitPlan] = []
    shapes: dict[str, TableShape] = {}
    places: dict[str, Place] = {}
    tables = spec.table_specs()
    origins = reflect_all(source, [(table.schema, table.name) for table in tables])
    for ordinal, (table, place) in enumerate(
        zip(tables, _places(source, target, connection, tables), strict=True)
    ):
        shape = origins[table.schema, table.name]
        unit = unit_plan.planned(source, spec, table, ordinal, place, shape)
        units.append(unit)
        if shape is not None:
            shapes[unit.unit_id] = shape
        places[unit.unit_id] = place
    units = numbering.planned(source, units, shapes)
    if isinstance(target, PostgresSession):
        units = missing_types.checked(source, target, units, shapes)
        units = new_indexes.checked(target, units, shapes)
        units = new_checks.checked(target, units, shapes)
        units = _telling_unchecked(target, units, places)
        if isinstance(source, PostgresSession):
            units = padding.told(source, target, units, shapes)
    units = _in_one_encoding(source, target, units)
    one_database = target is not None and _same_database(source, target)
    units = _collisions(
        units,
        overlap.found(source, units) if one_database else {},
        overlap.shared(target, units) if target is not None else {},
    )
    units = _sharing_columns(_depending(units, shapes, places))
    return Plan(
        task_id=task_id,
        consistency=consistency.planned(source.dialect, spec.consistency),
        guarantee=_GUARANTEE,
        executor=executors.stated(spec),
        units=_in_order(units),
    )


def _places(
    source: AnySession,
    target: AnySession | None,
    connection: Connection,
    tables: Sequence[TableSpec],
) -> list[Place]:
    dialect = engine_url.dialect(connection)
    if not isinstance(target, PostgresSession):
        wanted = [(None, table.target or table.name) for table in tables]
        there = reflect_all(target, wanted) if target is not None else {}
        return [
            Place(
                dialect=dialect,
                schema=None,
                table=shape.name if (shape := there.get(name)) else name[1],
                shape=shape,
                schema_exists=table.target_schema in (None, "main"),
            )
            for table, name in zip(tables, wanted, strict=True)
        ]
    inherits = source.dialect == "postgresql"
    home = target.default_schema or "public"
    names = [
        (
            table.target_schema or (table.schema if inherits else None) or home,
            table.target or table.name,
        )
        for table in tables
    ]
    schemas = {row[0] for row in target.execute("SELECT nspname FROM pg_namespace")}
    existing = reflect_all(target, names)
    return [
        Place(
            dialect=dialect,
            schema=schema,
            table=table,
            shape=existing[schema, table],
            schema_exists=schema in schemas,
        )
        for schema, table in names
    ]


def _in_one_encoding(
    source: AnySession, target: AnySession | None, units: list[UnitPlan]
) -> list[UnitPlan]:
    """The units, refused where both are SQLite files that keep text differently: neither can be attached
    to the other. A file that is not there yet will have UTF-8."""
    if not isinstance(source, SqliteSession) or isinstance(target, PostgresSession):
        return units
    read = source.encoding
    kept = target.encoding if target is not None else UTF8
    if read == kept or any(unit.route == "sqlite_postgresql" for unit in units):
        return units
    other = kept if read == UTF8 else read
    error = (
        f"the source keeps its text in {read} and the target in {kept}, and SQLite copies between files of "
        "one encoding only; make one of them anew: sqlite3 OLD .dump | sqlite3 NEW makes a file in UTF-8, "
        f"and PRAGMA encoding = '{other}' before its first table one in {other}"
    )
    return [msgspec.structs.replace(unit, errors=[*unit.errors, error]) for unit in units]


def _telling_unchecked(
    target: PostgresSession, units: list[UnitPlan], places: dict[str, Place]
) -> list[UnitPlan]:
    """The units, with a warning where a setting of the role switches off what the target would check."""
    role = target.execute("SELECT current_setting('session_replication_role')")[0][0]
    if role != "replica":
        return units
    warning = (
        "the target's role has session_replication_role = replica: its foreign keys are not checked, and its "
        "triggers do not fire unless they are enabled for replicas"
    )
    return [
        msgspec.structs.replace(unit, warnings=[*unit.warnings, warning])
        if (shape := places[unit.unit_id].shape) is not None
        and (shape.foreign_keys or shape.inbound or shape.triggers)
        else unit
        for unit in units
    ]


def _same_database(source: AnySession, target: AnySession) -> bool:
    if isinstance(source, PostgresSession) and isinstance(target, PostgresSession):
        # A server is told from another by when it started; the same instant twice is one server.
        ask = (
            "SELECT pg_postmaster_start_time()::text, oid::bigint FROM pg_database "
            "WHERE datname = current_database()"
        )
        return source.execute(ask) == target.execute(ask)
    if isinstance(source, PostgresSession) or isinstance(target, PostgresSession):
        return False
    return source.path.samefile(target.path)


def _name(unit: UnitPlan, *, source: bool) -> tuple[str, str]:
    schema, table = (
        (unit.source_schema, unit.source_table)
        if source
        else (unit.target_schema, unit.target_table)
    )
    return (schema or "", table if schema else table.lower())


def _sharing_columns(units: Sequence[UnitPlan]) -> list[UnitPlan]:
    """The units with one object for all columns that are alike: thousands of tables have few kinds."""
    known: dict[ColumnPlan, ColumnPlan] = {}
    return [
        msgspec.structs.replace(
            unit, columns=[known.setdefault(column, column) for column in unit.columns]
        )
        for unit in units
    ]


def _collisions(
    units: Sequence[UnitPlan], read: dict[str, str], shared: dict[str, str]
) -> list[UnitPlan]:
    """By unit, ``read``: the source whose rows its target holds; ``shared``: another target that does."""
    targets = [_name(unit, source=False) for unit in units]
    ids = Counter(unit.unit_id for unit in units)
    times = Counter(targets)
    result = []
    for unit, place in zip(units, targets, strict=True):
        errors = list(unit.errors)
        table = shown(unit.target_schema, unit.target_table)
        if times[place] > 1:
            errors.append(f"two tables of this task go to {table}; give one of them another target")
        elif ids[unit.unit_id] > 1:
            errors.append(
                f"table {unit.unit_id} is listed twice; put the second into a task of its own"
            )
        elif unit.unit_id in shared:
            errors.append(
                f"rows of {table} are rows of {shared[unit.unit_id]}, which this task replaces as well: one "
                "would delete those of the other; list one of them only"
            )
        if unit.unit_id in read:
            errors.append(
                f"{table} holds rows that this task reads as {read[unit.unit_id]} and cannot be its "
                "target; set target"
            )
        result.append(msgspec.structs.replace(unit, errors=errors))
    return result


def _depending(
    units: Sequence[UnitPlan], shapes: dict[str, TableShape], places: dict[str, Place]
) -> list[UnitPlan]:
    by_source = {_name(unit, source=True): unit.unit_id for unit in units}
    by_target = {_name(unit, source=False): unit.unit_id for unit in units}
    plans = {unit.unit_id: unit for unit in units}
    place_of = {unit.unit_id: place for place, unit in enumerate(units)}
    needs: dict[str, list[str]] = {unit.unit_id: [] for unit in units}
    tied: dict[str, set[str]] = {unit.unit_id: {unit.unit_id} for unit in units}
    for unit in units:
        for shape, names in (
            (shapes.get(unit.unit_id), by_source),
            (places[unit.unit_id].shape, by_target),
        ):
            for key in shape.foreign_keys if shape else []:
                table = (key.schema or "", key.table if key.schema else key.table.lower())
                other = names.get(table)
                if other is None or other == unit.unit_id or other in needs[unit.unit_id]:
                    continue
                needs[unit.unit_id].append(other)
    for circle in _circles(needs):
        joined = set().union(*(tied[unit_id] for unit_id in circle))
        for unit_id in joined:
            tied[unit_id] = joined
    for unit in units:
        existing = places[unit.unit_id].shape
        for key in existing.foreign_keys if existing else []:
            table = (key.schema or "", key.table if key.schema else key.table.lower())
            if (other := by_target.get(table)) is not None and other != unit.unit_id:
                joined = tied[unit.unit_id] | tied[other]
                for member in joined:
                    tied[member] = joined
    result = []
    for unit in units:
        keys, warnings = _pointed(unit, plans, by_source, places[unit.unit_id])
        changed = msgspec.structs.replace(
            unit,
            depends_on=needs[unit.unit_id],
            tied_to=sorted(tied[unit.unit_id] - {unit.unit_id}, key=place_of.__getitem__),
            foreign_keys=keys,
            warnings=unit.warnings + warnings,
        )
        result.append(changed)
    return result


def _circles(needs: dict[str, list[str]]) -> list[set[str]]:
    """Units that need each other, directly or around corners: their foreign keys are made together."""
    reached = {unit_id: set(others) for unit_id, others in needs.items() if others}
    grown = True
    while grown:
        grown = False
        for others in reached.values():
            more = set().union(*(reached.get(other, set()) for other in others)) - others
            grown = grown or bool(more)
            others |= more
    return [
        {other for other in others if unit_id in reached.get(other, ())}
        for unit_id, others in reached.items()
        if unit_id in others
    ]


def _pointed(
    unit: UnitPlan,
    plans: dict[str, UnitPlan],
    by_source: dict[tuple[str, str], str],
    place: Place,
) -> tuple[list[ForeignKeyPlan], list[str]]:
    """The foreign keys to make, pointing to where the other tables of the task go, and warnings."""
    made: list[ForeignKeyPlan] = []
    warnings: list[str] = []
    for key in unit.foreign_keys:
        name = (key.schema or "", key.table if key.schema else key.table.lower())
        other = plans.get(by_source.get(name, ""))
        what = f"foreign key ({', '.join(key.columns)}) to {key.table}"
        if other is None:
            warnings.append(f"not made in the target: {what}, which is not a table of this task")
            continue
        lacks = foreign_keys.sqlite_lacks(key) if place.dialect == "sqlite" else []
        if lacks:
            warnings.append(f"{what} is made without {', '.join(lacks)}")
            on_delete = "" if key.emptied else key.on_delete
            key = msgspec.structs.replace(key, match="", emptied=[], on_delete=on_delete)
        made.append(
            msgspec.structs.replace(key, schema=other.target_schema, table=other.target_table)
        )
    return made, warnings


def _in_order(units: Sequence[UnitPlan]) -> list[UnitPlan]:
    """Tables that others point to come first; otherwise the order in which they were written."""
    by_id = {unit.unit_id: unit for unit in units}
    known = {unit.unit_id: [other for other in unit.depends_on if other in by_id] for unit in units}
    sorter = TopologicalSorter(known)
    try:
        sorter.prepare()
    except CycleError as error:
        # A circle has no first table: one of its edges is let go, the rest still orders.
        before, after = error.args[1][0], error.args[1][1]
        cut = [
            msgspec.structs.replace(u, depends_on=[d for d in u.depends_on if d != before])
            if u.unit_id == after
            else u
            for u in units
        ]
        if cut == list(units):
            return list(units)
        return _in_order(cut)
    result: list[UnitPlan] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=lambda unit_id: by_id[unit_id].ordinal)
        result += [by_id[unit_id] for unit_id in ready]
        sorter.done(*ready)
    return [msgspec.structs.replace(unit, ordinal=n) for n, unit in enumerate(result)]
