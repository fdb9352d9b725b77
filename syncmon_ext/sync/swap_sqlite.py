"""The swap in SQLite: the staging table takes the name; indexes and triggers come back by their text."""

from __future__ import annotations

from typing import Final

from syncmon_ext.model.errors import CopyFailed
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync import names, numbering, staging
from syncmon_ext.sync.databases.sqlite import SqliteSession
from syncmon_ext.sync.ownership import Ownership
from syncmon_ext.sync.quoting import ident
from syncmon_ext.sync.sqlite_sql import renamed_table

ANALYSED_ROWS: Final = 1_000  # of each index, when the statistics of a table are taken again


def loses(session: SqliteSession, own: Ownership, unit: UnitPlan) -> bool:
    """True where the target was altered since the staging table was made like it."""
    stage = names.staging(own, unit)
    wanted = renamed_table(staging.own_statement(session, unit.target_table), stage)
    return wanted != renamed_table(staging.own_statement(session, stage), stage)


def rename(session: SqliteSession, own: Ownership, unit: UnitPlan) -> None:
    """Put the staging table in the place of the target, which may not exist."""
    stage = ident(names.staging(own, unit))
    target = ident(unit.target_table)
    there = staging.exists(session, None, unit.target_table)
    if unit.swap == "create":
        if there:
            raise CopyFailed(
                f"table {unit.target_table} was made by somebody else while it was copied",
                hint="start the task fresh",
            )
        session.change(f"ALTER TABLE {stage} RENAME TO {target}")
        return
    hanging = [
        row[0]
        for row in session.execute(
            "SELECT sql FROM sqlite_schema WHERE type IN ('index', 'trigger') AND sql IS NOT NULL "
            "AND tbl_name = ? COLLATE NOCASE ORDER BY type, rowid",
            (unit.target_table,),
        )
    ]
    given = numbering.given(session, unit)
    analysed = _has_statistics(session, unit.target_table)
    session.change(f"DROP TABLE {target}")
    session.change(f"ALTER TABLE {stage} RENAME TO {target}")
    numbering.keep_above(session, unit.target_table, given)
    for statement in hanging:
        session.change(statement)
    if analysed:
        session.execute(f"PRAGMA analysis_limit = {ANALYSED_ROWS}")
        session.change(f"ANALYZE {target}")


def _has_statistics(session: SqliteSession, table: str) -> bool:
    """Whether somebody has had the planner's statistics of a table taken: they go with it."""
    if not staging.exists(session, None, "sqlite_stat1"):
        return False
    return bool(
        session.execute("SELECT 1 FROM sqlite_stat1 WHERE tbl = ? COLLATE NOCASE", (table,))
    )
