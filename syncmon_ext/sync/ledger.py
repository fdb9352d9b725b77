"""syncmon's own tables in a target: what was committed there, and who may commit.

PostgreSQL keeps them in the schema ``_syncmon``, SQLite under names that begin with ``_syncmon_``.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import msgspec
from sqlalchemy import BigInteger, Boolean, Column, Integer, MetaData, Table, Text
from sqlalchemy.schema import CreateSchema, CreateTable

from syncmon_ext.sync.databases.base import Session

SCHEMA: Final = "_syncmon"
_LOCK: Final = 0x73796E63  # "sync": of pg_advisory_xact_lock, so that two claims do not both create


class Ledger(msgspec.Struct, frozen=True):
    """The tables, as one dialect names them."""

    fences: Table
    units: Table
    checkpoints: Table
    watermarks: Table
    rejects: Table

    def all(self) -> tuple[Table, ...]:
        """Every table."""
        return (self.fences, self.units, self.checkpoints, self.watermarks, self.rejects)


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
            Column("epoch", Text, nullable=False),  # what the order of a keyless unit hangs on
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
            Column("low_key", Text, primary_key=True),  # JSON
            Column("high_key", Text, primary_key=True),  # JSON
            Column("rows", integer, nullable=False),
            Column("bytes", integer, nullable=False),
            Column("digest", Text),  # of what was read, where the content is verified
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
            Column("task_id", Text, nullable=False),  # who wrote it last, for a person
            Column("run_id", Text, nullable=False),
        ),
        # Bad rows, until they are replayed or the table is read anew.
        rejects=Table(
            f"{prefix}rejects",
            metadata,
            Column("store_id", Text, primary_key=True),
            Column("task_id", Text, primary_key=True),
            Column("unit_id", Text, primary_key=True),
            Column("row_key", Text, primary_key=True),  # JSON
            Column("run_id", Text, nullable=False),
            Column("key_shown", Text, nullable=False),  # JSON, with the names of the columns
            Column("column_name", Text),
            Column("error", Text, nullable=False),  # repeats no value
            Column("message", Text),
            Column("row_values", Text, nullable=False),  # JSON
            Column("rejected_at", Text, nullable=False),
        ),
    )


def exists(session: Session) -> bool:
    """True where the target has all of the tables."""
    names = [table.name for table in ledger(session.dialect).all()]
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


def create(session: Session) -> None:
    """Make the tables that are missing; within the caller's transaction."""
    if exists(session):
        return
    if session.dialect == "postgresql":
        session.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        session.change(str(CreateSchema(SCHEMA, if_not_exists=True)).strip())
    for table in ledger(session.dialect).all():
        session.run_change(CreateTable(table, if_not_exists=True))
