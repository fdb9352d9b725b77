"""Staging tables: where a unit's chunks land until the swap puts them in place.

They are as durable as the checkpoints that speak of them: never UNLOGGED, never TEMPORARY.
"""
# ruff: noqa: S608  # names are quoted by sync.quoting

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

from syncmon_ext.model.errors import CopyFailed
from syncmon_ext.model.plan import ColumnPlan, IndexPlan, UnitPlan
from syncmon_ext.sync import foreign_keys, merging, names, new_checks, types, wording
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sessions import AnySession
from syncmon_ext.sync.databases.sqlite import SqliteSession
from syncmon_ext.sync.ownership import Ownership
from syncmon_ext.sync.quoting import columns, ident, relation
from syncmon_ext.sync.reflect.postgresql_indexes import CONSTRAINT, TEXT
from syncmon_ext.sync.sequences import INTEGERS
from syncmon_ext.sync.sqlite_sql import default, renamed_index, renamed_table


def exists(session: AnySession, schema: str | None, table: str) -> bool:
    """True where the target has such a table."""
    return bool(there(session, [(schema, table)]))


def there(
    session: AnySession, tables: Sequence[tuple[str | None, str]]
) -> list[tuple[str | None, str]]:
    """Those of the tables, each a schema and a name, that the target has."""
    names = [table for _, table in tables]
    if isinstance(session, PostgresSession):
        found = session.execute(
            "SELECT n.nspname, c.relname FROM unnest(%s::text[], %s::text[]) AS wanted (schema, name) "
            "JOIN pg_namespace n ON n.nspname = wanted.schema "
            "JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name "
            "WHERE c.relkind IN ('r', 'p')",
            ([schema for schema, _ in tables], names),
        )
    else:
        found = session.execute(
            "SELECT NULL, name FROM sqlite_schema WHERE type = 'table' "
            "AND lower(name) IN (SELECT lower(value) FROM json_each(?))",
            (msgspec.json.encode(names).decode(),),
        )
    return [(schema, table) for schema, table in found]


def create(session: AnySession, own: Ownership, unit: UnitPlan) -> None:
    """Make the table that chunks land in, unless it is there; in the caller's transaction."""
    table = names.landing(own, unit)
    if exists(session, unit.target_schema, table):
        return
    if isinstance(session, PostgresSession):
        _create_postgresql(session, unit, table)
    else:
        _create_sqlite(session, unit, table)


def create_in_place(session: AnySession, unit: UnitPlan, taken: names.Taken) -> None:
    """Make the target table itself, with its key, where it is filled in the same transaction."""
    if isinstance(session, SqliteSession):
        _create_sqlite(session, unit, unit.target_table)
        return
    parts = _postgresql_columns(session, unit)
    parts += [
        f"CONSTRAINT {ident(names.index(taken, unit, index))} {_constraint(index)}"
        for index in unit.indexes
        if index.primary
    ]
    parts += new_checks.within(unit)
    name = relation(unit.target_schema, unit.target_table)
    session.change(f"CREATE TABLE {name} ({', '.join(parts)})")


def index_in_place(session: AnySession, unit: UnitPlan, taken: names.Taken) -> None:
    """Make the other indexes of a table that was made in its place, and the checks that it breaks."""
    if isinstance(session, SqliteSession):
        build_sqlite(session, unit, unit.target_table)
    else:
        _build_postgresql(session, unit, unit.target_table, taken, with_key=False)
        if not all(check.proved for check in unit.checks):
            new_checks.make(session, unit, unit.target_table)


def _create_postgresql(session: PostgresSession, unit: UnitPlan, table: str) -> None:
    name = relation(unit.target_schema, table)
    target = relation(unit.target_schema, unit.target_table)
    if unit.swap == "rename" or (unit.swap in ("move", "merge") and unit.max_rejects):
        # With the target's own constraints, so that a bad row is found with its chunk.
        with _in_place(session):
            session.change(f"CREATE TABLE {name} (LIKE {target} INCLUDING ALL EXCLUDING INDEXES)")
    elif unit.swap in ("move", "merge"):
        copied = columns(column.name for column in unit.copied)
        session.change(f"CREATE TABLE {name} AS SELECT {copied} FROM {target} WITH NO DATA")
        session.change(f"ALTER TABLE {name} SET (autovacuum_enabled = false)")
    else:
        parts = _postgresql_columns(session, unit)
        if unit.direct:
            parts += [_constraint(index) for index in unit.indexes if index.primary]
        session.change(f"CREATE TABLE {name} ({', '.join(parts)})")


@contextmanager
def _in_place(session: PostgresSession) -> Iterator[None]:
    """Around statements whose tables and indexes lie where those of the target do, whatever is set for new
    ones: the rows of a table that lies elsewhere than its database are moved."""
    session.change("SET LOCAL default_tablespace = ''")
    yield
    session.change("SET LOCAL default_tablespace TO DEFAULT")


def _constraint(index: IndexPlan) -> str:
    return index.definition or f"PRIMARY KEY ({columns(index.columns)})"


def _postgresql_columns(session: PostgresSession, unit: UnitPlan) -> list[str]:
    numbered = {plan.column: plan.clause for plan in unit.numbering}
    return [
        _postgresql_column(session, column, numbered.get(column.name) or "BY DEFAULT AS IDENTITY")
        for column in unit.columns
    ]


def _postgresql_column(session: PostgresSession, column: ColumnPlan, numbered: str) -> str:
    parts = [ident(column.name), column.target_type]
    if column.collation:
        parts.append(f"COLLATE {column.collation}")
    if column.generated is not None:
        virtual = column.virtual and session.version >= 180000
        kind = "VIRTUAL" if virtual else "STORED"
        parts.append(f"GENERATED ALWAYS AS ({column.generated}) {kind}")
    elif column.identity and column.target_type in INTEGERS:
        parts.append(f"GENERATED {numbered}")
    elif column.default is not None:
        parts.append(f"DEFAULT {column.default}")
    if not column.nullable:
        parts.append("NOT NULL")
    return " ".join(parts)


def _create_sqlite(session: SqliteSession, unit: UnitPlan, table: str) -> None:
    if unit.swap == "rename" or (unit.swap in ("move", "merge") and unit.max_rejects):
        session.change(renamed_table(own_statement(session, unit.target_table), table))
        return
    if unit.create_sql is not None:
        session.change(renamed_table(unit.create_sql, table))
        return
    plain = unit.swap in ("move", "merge")
    parts = [_sqlite_column(column, plain=plain) for column in unit.copied]
    if not plain:
        parts += [
            f"PRIMARY KEY ({columns(index.columns)})" for index in unit.indexes if index.primary
        ]
        parts += map(foreign_keys.in_sqlite, unit.foreign_keys)
    session.change(f"CREATE TABLE {ident(table)} ({', '.join(parts)})")


def _sqlite_column(column: ColumnPlan, *, plain: bool) -> str:
    parts = [ident(column.name)]
    if not plain or column.target_type.upper() != types.STRICT_ANY:  # staging tables are not STRICT
        parts.append(column.target_type)
    if not plain and column.default is not None:
        parts.append(f"DEFAULT {default(column.default)}")
    if not plain and not column.nullable:
        parts.append("NOT NULL")
    return " ".join(parts)


def own_statement(session: SqliteSession, table: str) -> str:
    """The statement that made a table of SQLite."""
    rows = session.execute(
        "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ? COLLATE NOCASE", (table,)
    )
    if not rows or not rows[0][0]:
        raise CopyFailed(f"target table {table} is gone", hint="start the task fresh")
    return str(rows[0][0])


def build_indexes(session: AnySession, own: Ownership, unit: UnitPlan) -> None:
    """Make the keys, indexes and checks of the table that chunks landed in, in the caller's transaction.

    Called again it does nothing: they are made all together or not at all.
    """
    table = names.landing(own, unit)
    if unit.swap == "merge":
        merging.check_keys(session, unit, table)
    elif isinstance(session, PostgresSession):
        if unit.swap == "rename":
            _rebuild_postgresql(session, unit, table)
        elif unit.swap != "move":
            if not _indexed(session, unit, table):
                taken = names.Taken(session)
                _build_postgresql(session, unit, table, taken, with_key=not unit.direct)
            new_checks.make(session, unit, table)
    elif unit.swap not in ("move", "rename"):
        build_sqlite(session, unit, table)


def _indexed(session: PostgresSession, unit: UnitPlan, table: str) -> bool:
    # The primary key of a table that chunks land in directly is made with it.
    counted = 1 if unit.direct and any(index.primary for index in unit.indexes) else 0
    rows = session.execute(
        "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid "
        "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s",
        (unit.target_schema, table),
    )
    return bool(rows[0][0] > counted)


def _build_postgresql(
    session: PostgresSession, unit: UnitPlan, table: str, taken: names.Taken, *, with_key: bool
) -> None:
    name = relation(unit.target_schema, table)
    for index in unit.indexes:
        if index.primary and not with_key:
            continue
        session.change(_made(index, ident(names.index(taken, unit, index)), name))


def _made(index: IndexPlan, label: str, table: str) -> str:
    if index.primary or index.constraint:
        return f"ALTER TABLE {table} ADD CONSTRAINT {label} {_constraint(index)}"
    unique = "UNIQUE " if index.unique else ""
    return f"CREATE {unique}INDEX {label} ON {table} {index.definition or f'({columns(index.columns)})'}"


def postgresql_indexes(session: PostgresSession, schema: str | None, table: str) -> list[IndexPlan]:
    """The indexes of a table as they are made again, oldest first."""
    rows = session.execute(
        f"SELECT c.relname, i.indisunique, i.indisprimary, con.oid IS NOT NULL, "
        f"       CASE WHEN con.oid IS NULL THEN {TEXT} ELSE {CONSTRAINT} END "
        "FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
        "JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace "
        "LEFT JOIN pg_constraint con ON con.conindid = i.indexrelid AND con.conrelid = i.indrelid "
        "     AND con.contype IN ('p', 'u', 'x') "
        "WHERE n.nspname = %s AND t.relname = %s ORDER BY i.indexrelid",
        (schema, table),
    )
    lost = [name for name, *_, definition in rows if definition is None]
    if lost:
        raise CopyFailed(
            f"index {lost[0]} of the target cannot be made again", hint="report its definition"
        )
    return [
        IndexPlan(
            name=name,
            columns=[],
            unique=unique,
            primary=primary,
            constraint=constraint,
            definition=definition,
        )
        for name, unique, primary, constraint, definition in rows
    ]


def _rebuild_postgresql(session: PostgresSession, unit: UnitPlan, table: str) -> None:
    """Make the target's indexes, and drop those that it has lost or changed since they were made."""
    name = relation(unit.target_schema, table)
    targets = {
        names.provisional_index(table, index.name): index
        for index in postgresql_indexes(session, unit.target_schema, unit.target_table)
    }
    made = set()
    for index in postgresql_indexes(session, unit.target_schema, table):
        wanted = targets.get(index.name)
        if wanted is not None and msgspec.structs.replace(wanted, name=index.name) == index:
            made.add(index.name)
        elif index.constraint:
            session.change(f"ALTER TABLE {name} DROP CONSTRAINT {ident(index.name)}")
        else:
            session.change(f"DROP INDEX {relation(unit.target_schema, index.name)}")
    for provisional, index in targets.items():
        if provisional not in made:
            with wording.renamed(provisional, index.name), _in_place(session):
                session.change(_made(index, ident(provisional), name))


def build_sqlite(session: SqliteSession, unit: UnitPlan, table: str) -> None:
    """Make the indexes of ``table`` that its own statement does not make, unless they are there."""
    made = session.execute("SELECT count(*) FROM pragma_index_list(?) WHERE origin = 'c'", (table,))
    if made[0][0]:
        return
    for index in unit.indexes:
        if index.primary:
            continue
        label = names.index(names.Taken(session), unit, index)
        if index.sql is not None:
            session.change(renamed_index(index.sql, label, table))
        else:
            word = "UNIQUE " if index.unique else ""
            listed = columns(index.columns)
            session.change(f"CREATE {word}INDEX {ident(label)} ON {ident(table)} ({listed})")
