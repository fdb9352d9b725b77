"""Putting rows into a table that somebody else may have made, each of them as a row of its own."""
# ruff: noqa: S608  # names are quoted by sync.quoting

from __future__ import annotations

from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync import merging, staging
from syncmon_ext.sync.databases import sessions
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sessions import AnySession
from syncmon_ext.sync.databases.sqlite import SqliteSession
from syncmon_ext.sync.quoting import columns, relation
from syncmon_ext.sync.sqlite_sql import settles_conflicts


def inserting(session: AnySession, unit: UnitPlan, table: str) -> str:
    """The words that an INSERT into ``table``, of the unit, begins with.

    A constraint of SQLite may say itself that a row which breaks it is left out, or takes the place of
    another; OR ABORT makes it an error. Not for every table: it also overrules the INSERT OR … of triggers.
    """
    if not isinstance(session, SqliteSession):
        return "INSERT INTO"
    # A table of the unit's own needs no look into a schema that may have thousands of others.
    own = unit.swap == "create"
    made = (unit.create_sql or "") if own else staging.own_statement(session, table)
    return "INSERT OR ABORT INTO" if settles_conflicts(made) else "INSERT INTO"


def placed(session: AnySession, unit: UnitPlan, stage: str, *, merge: bool) -> int:
    """The number of the rows of ``stage`` that came into the target table; its triggers fire."""
    listed = columns(column.name for column in unit.copied)
    overriding = " OVERRIDING SYSTEM VALUE" if isinstance(session, PostgresSession) else ""
    conflict = merging.on_conflict(unit) if merge else ""
    table = relation(unit.target_schema, unit.target_table)
    with sessions.usual_settings(session):
        return session.change(
            f"{inserting(session, unit, unit.target_table)} {table} ({listed}){overriding} "
            f"SELECT {listed} FROM {stage} WHERE true{conflict}"
        )
