"""syncmon's own tables in a target: what was committed there, and who may commit.

PostgreSQL keeps them in the schema ``_syncmon``, SQLite under names that begin with ``_syncmon_``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Integer,
    MetaData,
    Table,
    Text,
    delete,
    insert,
    select,
)
from sqlalchemy.schema import CreateSchema, CreateTable

from syncmon_ext.model.errors import InvalidConfig
from syncmon_ext.sync.databases.base import Session
from syncmon_ext.sync.quoting import ident, relation

SCHEMA: Final = "_syncmon"
# Raised with every change of the tables. What is added to a table may be NULL, so that the syncmon before
# can still write to it; to the rejects of before version 4 it cannot, since their key did not name the run.
VERSION: Final = 4
_LOCK: Final = 0x73796E63  # "sync": of pg_advisory_xact_lock, so that two claims do not both create


class Ledger(msgspec.Struct, frozen=True):
    """The tables, as one dialect names them."""

    fences: Table
    units: Table
    checkpoints: Table
    watermarks: Table
    rejects: Table
    version: Table

    def all(self) -> tuple[Table, ...]:
        """Every table."""
        return (
            self.fences,
            self.units,
            self.checkpoints,
            self.watermarks,
            self.rejects,
            self.version,
        )


@cache
def ledger(dialect: str) -> Ledger:
    """The tables of ``dialect``."""
    metadata = MetaData(schema=SCHEMA if dialect == "postgresql" else None)
    prefix = "" if dialect == "postgresql" else f"{SCHEMA}_"
    integer = BigInteger().with_variant(Integer, "sqlite")
    return Ledger(
        # One row per target table, never deleted: an owner that finds it missing or changed aborts.
        fences=Table(
            f"{prefix}fences",
            metadata,
            Column("target_schema", Text, primary_key=True),  # "" in SQLite
            Column("target_table", Text, primary_key=True),
            Column("store_id", Text, nullable=False),
            Column("task_id", Text, nullable=False),
            Column("run_id", Text, nullable=False),
            Column("token", integer, nullable=False),
            Column("backend", integer, nullable=False),  # pid of who claimed
            Column("finished", Boolean, nullable=False),  # the run has ended: anyone may claim
        ),
        units=Table(
            f"{prefix}units",
            metadata,
            Column("store_id", Text, primary_key=True),
            Column("run_id", Text, primary_key=True),
            Column("unit_id", Text, primary_key=True),
            Column("target_schema", Text, nullable=False),
            Column("target_table", Text, nullable=False),
            Column("staging", Text),  # None: chunks land in the target itself
            Column("upper_key", Text),  # JSON
            Column("epoch", Text, nullable=False),  # what its chunks have in common
            Column("swapped", Boolean, nullable=False),
            Column("rows_swapped", integer),
            Column("cursor_window", Text),  # JSON; of incremental
        ),
        checkpoints=Table(
            f"{prefix}checkpoints",
            metadata,
            Column("store_id", Text, primary_key=True),
            Column("run_id", Text, primary_key=True),
            Column("unit_id", Text, primary_key=True),
            Column("low_key", Text, primary_key=True),  # as sync.key_text names it
            Column("high_key", Text, primary_key=True),  # likewise
            Column("rows", integer, nullable=False),
            Column("bytes", integer, nullable=False),
            Column("digest", Text),  # of what was read, where the content is verified
            Column("low_text", Text),  # JSON; of a low_key that does not hold it
            Column("high_text", Text),  # likewise
        ),
        # One row per target table and set of source rows; no stop and no end of a run removes it.
        watermarks=Table(
            f"{prefix}watermarks",
            metadata,
            Column("target_schema", Text, primary_key=True),
            Column("target_table", Text, primary_key=True),
            Column("scope", Text, primary_key=True),
            Column("cursor_column", Text, nullable=False),
            Column("watermark", Text, nullable=False),  # JSON
            Column("target_oid", integer),  # of the table that has the rows; of PostgreSQL
            Column("task_id", Text, nullable=False),  # who wrote it last, for a person
            Column("run_id", Text, nullable=False),
        ),
        # Bad rows, until they are replayed, or rows of a later run take their place.
        rejects=Table(
            f"{prefix}rejects",
            metadata,
            Column("store_id", Text, primary_key=True),
            Column("task_id", Text, primary_key=True),
            Column("unit_id", Text, primary_key=True),
            Column("row_key", Text, primary_key=True),  # as sync.key_text names it
            Column("run_id", Text, primary_key=True),
            Column("key_shown", Text, nullable=False),  # JSON, with the names of the columns
            Column("column_name", Text),
            Column("error", Text, nullable=False),  # repeats no value
            Column("message", Text),
            Column("row_values", Text, nullable=False),  # JSON
            Column("rejected_at", Text, nullable=False),
            Column("row_text", Text),  # JSON; of a row_key that does not hold it
            Column("row_filter", Text),  # JSON; the `where` that the row was read with
            Column("target_schema", Text),  # "" in SQLite
            Column("target_table", Text),
        ),
        version=Table(  # one row
            f"{prefix}version", metadata, Column("version", integer, primary_key=True)
        ),
    )


def exists(session: Session) -> bool:
    """True where the target has the tables that every version has."""
    tables = ledger(session.dialect)
    return _there(session, [tables.fences, tables.units, tables.checkpoints])


def is_current(session: Session) -> bool:
    """True where the target has the tables of this version."""
    table = ledger(session.dialect).version
    return _there(session, [table]) and session.run(select(table.c.version)) == [(VERSION,)]


def has_rejects(session: Session) -> bool:
    """True where the target can hold bad rows: those of older versions could not."""
    return _there(session, [ledger(session.dialect).rejects])


def columns(session: Session, table: Table) -> set[str]:
    """The columns that one of the tables has, which an older version may have made."""
    if session.dialect == "postgresql":
        rows = session.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 "
            "AND NOT attisdropped",
            (relation(table.schema, table.name),),
        )
    else:
        rows = session.execute("SELECT name FROM pragma_table_info(?)", (table.name,))
    return {row[0] for row in rows}


def create(session: Session) -> None:
    """Make the tables, or bring them up to date; within the caller's transaction.

    Raises InvalidConfig where a newer syncmon made them.
    """
    if _version(session) == VERSION:
        return
    if session.dialect == "postgresql":
        session.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        session.change(str(CreateSchema(SCHEMA, if_not_exists=True)).strip())
    tables = ledger(session.dialect)
    for table in tables.all():
        session.run_change(CreateTable(table, if_not_exists=True))
        there = columns(session, table)
        for column in table.columns:
            if column.name not in there:  # a column of a newer version may be NULL
                name = relation(table.schema, table.name)
                session.change(f"ALTER TABLE {name} ADD COLUMN {ident(column.name)} {column.type}")
        if _key(session, table) != {column.name for column in table.primary_key}:
            _give_key(session, table)
    session.run_change(delete(tables.version))
    session.run_change(insert(tables.version).values(version=VERSION))


def _version(session: Session) -> int:
    """The version of the tables; 0 where there are none, or from before they had one."""
    table = ledger(session.dialect).version
    found = session.run(select(table.c.version)) if _there(session, [table]) else []
    version = int(found[0][0]) if found else 0
    if version > VERSION:
        raise InvalidConfig(
            f"{session.name}: syncmon's tables in it have version {version}; this syncmon knows "
            f"{VERSION}",
            hint="a newer syncmon writes there: upgrade this one",
        )
    return version


def _there(session: Session, tables: Sequence[Table]) -> bool:
    names = [table.name for table in tables]
    if session.dialect == "postgresql":
        found = session.execute(
            "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = %s AND c.relname = ANY(%s)",
            (SCHEMA, names),
        )
    else:
        marks = ", ".join("?" * len(names))
        found = session.execute(
            f"SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ({marks})",  # noqa: S608  # marks only
            names,
        )
    return bool(found[0][0] == len(names))


def _key(session: Session, table: Table) -> set[str]:
    """The columns of the primary key that a table has."""
    if session.dialect == "postgresql":
        rows = session.execute(
            "SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid "
            "AND a.attnum = ANY(i.indkey) WHERE i.indrelid = %s::regclass AND i.indisprimary",
            (relation(table.schema, table.name),),
        )
    else:
        rows = session.execute("SELECT name FROM pragma_table_info(?) WHERE pk > 0", (table.name,))
    return {row[0] for row in rows}


def _give_key(session: Session, table: Table) -> None:
    """Give a table of an older version the primary key of this one; in SQLite only a new table takes one."""
    name = relation(table.schema, table.name)
    if session.dialect == "postgresql":
        found = session.execute(
            "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'p'",
            (name,),
        )
        key = ", ".join(ident(column.name) for column in table.primary_key)
        dropped = "".join(f"DROP CONSTRAINT {ident(row[0])}, " for row in found)
        session.change(f"ALTER TABLE {name} {dropped}ADD PRIMARY KEY ({key})")
        return
    older = ident(f"{table.name}_older")
    every = ", ".join(ident(column.name) for column in table.columns)
    session.change(f"ALTER TABLE {name} RENAME TO {older}")
    session.run_change(CreateTable(table))
    session.change(f"INSERT INTO {name} ({every}) SELECT {every} FROM {older}")  # noqa: S608  # quoted
    session.change(f"DROP TABLE {older}")
