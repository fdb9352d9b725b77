"""The columns of a unit: matched by name, with a type on both sides and a verdict on exactness."""
# ruff: noqa: S608  # names are quoted by sync.quoting

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from syncmon_ext.model.plan import ColumnPlan
from syncmon_ext.sync import types
from syncmon_ext.sync.databases.sessions import AnySession
from syncmon_ext.sync.quoting import read_column, relation
from syncmon_ext.sync.reflect.shape import UNTOLD, ColumnShape, TableShape
from syncmon_ext.sync.sqlite_sql import renamed_table

SAMPLE_ROWS: Final = 1_000  # of each end of a table, where the declared type does not tell
NAME_BYTES: Final = 63  # PostgreSQL cuts longer names, which would make two of them one
_FOREIGN_FUNCTION: Final = re.compile(r'[\w"]\.[\w"]+\(')
_INTEGER_LITERAL: Final = re.compile(r"-?\d+")
_TEXT_LITERAL: Final = re.compile(r"'(?:[^']|'')*'")


def selected(
    shape: TableShape, wanted: Sequence[str] | None
) -> tuple[list[ColumnShape], list[str]]:
    """The columns to copy, and the names that the source does not have."""
    if wanted is None:
        return list(shape.columns), []
    found = [column for name in wanted if (column := shape.column(name)) is not None]
    return found, [name for name in wanted if shape.column(name) is None]


def planned(
    session: AnySession,
    shape: TableShape,
    chosen: Sequence[ColumnShape],
    target_dialect: str,
    target: TableShape | None,
) -> tuple[list[ColumnPlan], list[str], list[str]]:
    """The plan of each column, with errors and warnings."""
    errors: list[str] = []
    warnings: list[str] = []
    plans: list[ColumnPlan] = []
    for column in chosen:
        if target is None:
            plans.append(_new(session, shape, column, target_dialect, warnings))
            continue
        into = _match(target, column.name, target_dialect)
        if into is None:
            errors.append(
                f"column {column.name} is not in target table {target.name}; add it there, or list the "
                "columns to copy"
            )
        elif into.generated is None:
            plans.append(_existing(session.dialect, column, into, target_dialect))
        elif column.generated is None or not _alike(shape, target, column, into):
            other = "" if column.generated is None else f", the source another{_computed(column)}"
            warnings.append(
                f"column {column.name} is not copied: the target computes its own{_computed(into)}{other}"
            )
    if target is not None:
        covered = {plan.name.lower() for plan in plans}
        errors.extend(
            f"target column {column.name} is NOT NULL without a default, and the copy does not fill it; "
            "give it a default, let it be NULL, or copy a column of that name"
            for column in target.columns
            if column.name.lower() not in covered
            and not column.nullable
            and column.default is None
            and column.generated is None
            and not column.identity
            and column.type.upper() != "INTEGER"
        )
    folded = [plan.name.lower() for plan in plans]
    if target_dialect == "sqlite" and len(set(folded)) < len(folded):
        errors.append(
            "two columns differ only in case, which SQLite does not tell apart; list one in columns"
        )
    if target is None and target_dialect == "postgresql":
        errors.extend(
            f"the name of column {plan.name} is longer than PostgreSQL's {NAME_BYTES} bytes; make a view "
            "of the table with a shorter one, and copy that"
            for plan in plans
            if len(plan.name.encode()) > NAME_BYTES
        )
    return plans, errors, warnings


def _alike(shape: TableShape, target: TableShape, column: ColumnShape, into: ColumnShape) -> bool:
    """Whether both sides compute a column in the same words."""
    if (
        shape.sql is None or target.sql is None
    ):  # SQLite tells no expression but within its statement
        return shape.sql == target.sql and column.generated == into.generated
    return renamed_table(shape.sql, "") == renamed_table(target.sql, "")


def _computed(column: ColumnShape) -> str:
    return "" if column.generated == UNTOLD else f" ({column.generated})"


def not_made(chosen: Sequence[ColumnShape], plans: Sequence[ColumnPlan]) -> list[str]:
    """What a new table, whose columns ``plans`` are, has not of the columns of its source."""
    pairs = list(zip(chosen, plans, strict=True))
    computed = [c.name for c, plan in pairs if c.generated is not None and plan.generated is None]
    defaults = [
        column.name
        for column, plan in pairs
        if column.default not in (None, "NULL") and plan.default is None and not column.identity
    ]
    warnings = []
    if computed:
        warnings.append(f"not made in the target: what computes {', '.join(computed)}")
    if defaults:
        warnings.append(f"not made in the target: the default of {', '.join(defaults)}")
    return warnings


def _match(target: TableShape, name: str, dialect: str) -> ColumnShape | None:
    exact = target.column(name)
    if exact is not None or dialect != "sqlite":
        return exact
    return next((c for c in target.columns if c.name.lower() == name.lower()), None)


def _new(
    session: AnySession,
    shape: TableShape,
    column: ColumnShape,
    target_dialect: str,
    warnings: list[str],
) -> ColumnPlan:
    pair = (session.dialect, target_dialect)
    default = generated = collation = None
    if pair == ("sqlite", "postgresql"):
        mapping = types.sqlite_to_new_postgresql(column, _stored(session, shape, column))
        default = _literal_default(column.default, mapping.type)
    elif pair == ("postgresql", "sqlite"):
        mapping = types.postgresql_to_new_sqlite(column)
    elif pair == ("sqlite", "sqlite"):
        mapping = types.sqlite_to_new_sqlite(column)
        default = column.default
    else:
        mapping = types.Mapping(type=column.type)
        generated, collation = column.generated, column.collation
        if column.default is not None and not column.identity:
            if _FOREIGN_FUNCTION.search(column.default):
                warnings.append(f"the default of {column.name} calls a function and is not made")
            else:
                default = column.default
    mapping = types.telling_xml(column, mapping)
    return ColumnPlan(
        name=column.name,
        source_type=column.type,
        target_type=mapping.type,
        nullable=column.nullable,
        lossy=mapping.lossy,
        reason=mapping.reason,
        check=mapping.check,
        default=default,
        generated=generated,
        virtual=generated is not None and column.virtual,
        collation=collation,
        identity=column.identity,
    )


def _existing(
    dialect: str, column: ColumnShape, into: ColumnShape, target_dialect: str
) -> ColumnPlan:
    mapping = {
        ("sqlite", "postgresql"): types.sqlite_to_postgresql,
        ("postgresql", "sqlite"): types.postgresql_to_sqlite,
        ("sqlite", "sqlite"): types.sqlite_to_sqlite,
        ("postgresql", "postgresql"): types.postgresql_to_postgresql,
    }[dialect, target_dialect](column, into)
    mapping = types.telling_xml(column, mapping)
    return ColumnPlan(
        name=column.name,
        source_type=column.type,
        target_type=mapping.type,
        nullable=into.nullable,
        lossy=mapping.lossy,
        reason=mapping.reason,
        check=mapping.check,
        identity=into.identity,
    )


def _stored(session: AnySession, shape: TableShape, column: ColumnShape) -> set[str]:
    """The storage classes in a sample of the column; empty where the declared type tells enough."""
    if column.base in ("INTEGER", "REAL", "TEXT") or (column.base == "BLOB" and column.type):
        return set()
    table, name = relation(shape.schema, shape.name), read_column(column.name)
    parts = [f"SELECT * FROM (SELECT {name} AS v FROM {table} LIMIT {SAMPLE_ROWS})"]
    if shape.rowid:
        parts.append(
            f"SELECT * FROM (SELECT {name} AS v FROM {table} "
            f"ORDER BY {shape.rowid} DESC LIMIT {SAMPLE_ROWS})"
        )
    rows = session.execute(f"SELECT DISTINCT typeof(v) FROM ({' UNION ALL '.join(parts)})")
    return {row[0] for row in rows}


def _literal_default(default: str | None, target_type: str) -> str | None:
    if default is None:
        return None
    text = default.strip()
    if target_type in ("bigint", "numeric") and _INTEGER_LITERAL.fullmatch(text):
        return text
    if target_type == "text" and _TEXT_LITERAL.fullmatch(text):
        return text
    return None
