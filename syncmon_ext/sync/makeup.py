"""What a table or view of PostgreSQL is made of: itself, its columns, the tables that are read with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync.databases.postgresql import PostgresSession

# With a table go those that inherit from it, partitions too; with a view those that it reads. A materialised
# view is read as a table: what it was made from does not matter.
PARTS: Final = """
    SELECT w.id, w.number FROM wanted w WHERE w.id IS NOT NULL
    UNION SELECT next.id, p.whose FROM parts p CROSS JOIN LATERAL (
        SELECT inhrelid FROM pg_inherits WHERE inhparent = p.id
        UNION ALL
        SELECT d.refobjid FROM pg_class v JOIN pg_rewrite r ON r.ev_class = v.oid
        JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
             AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> v.oid
        WHERE v.oid = p.id AND v.relkind = 'v') AS next (id)
"""
NAMED: Final = """(
    SELECT c.oid FROM pg_namespace n JOIN pg_class c ON c.relnamespace = n.oid
    WHERE n.nspname = w.schema AND c.relname = w.name)"""

_MADE_OF: Final = f"""
WITH RECURSIVE wanted (number, id) AS (
    SELECT 1, {NAMED} FROM (SELECT %s::text, %s::text) AS w (schema, name)
), parts (id, whose) AS ({PARTS})
SELECT w.id::bigint,
       md5(ARRAY(
           SELECT a.attname || ' ' || a.attnum || ' ' || a.atttypid FROM pg_attribute a
           WHERE a.attrelid = w.id AND a.attname = ANY (%s::text[]) AND a.attnum > 0
           ORDER BY 1)::text),
       md5(ARRAY(
           SELECT r.ev_action::text FROM parts p JOIN pg_class v ON v.oid = p.id
           JOIN pg_rewrite r ON r.ev_class = v.oid WHERE v.relkind = 'v' ORDER BY v.oid)::text),
       ARRAY(SELECT DISTINCT p.id::bigint FROM parts p WHERE p.id <> w.id ORDER BY 1),
       NOT EXISTS (SELECT FROM parts p JOIN pg_class c ON c.oid = p.id
                   WHERE c.relkind NOT IN ('r', 'p', 'm')),
       txid_current_snapshot()::text
FROM wanted w
"""  # noqa: S608  # constants
# The columns of the system's own are written once, with the table itself.
_OLDER: Final = """
SELECT a.attrelid::bigint FROM pg_attribute a
WHERE a.attrelid = ANY (%s::bigint[]::oid[]) AND a.attname = 'tableoid' AND a.attnum < 0
      AND age(a.xmin) > age((txid_snapshot_xmax(%s::txid_snapshot) & 4294967295)::text::xid)
"""


class Makeup(msgspec.Struct, frozen=True, kw_only=True):
    """What one snapshot shows of a unit's table."""

    table: int | None = None  # the OIDs of it and of the others
    columns: str = ""  # those that the unit names, each with its number and type: a hash
    views: str = ""  # what they say: a hash
    parts: list[int] = []
    fixed: bool = False  # all its rows are in the snapshot: none is computed, none another server's
    seen: str = ""  # what the snapshot sees, as PostgreSQL writes it


def of(session: PostgresSession, unit: UnitPlan) -> Makeup:
    """The makeup of the unit's table in the state that ``session`` reads."""
    names = {column.name for column in unit.columns} | {*unit.key, *unit.where}
    if unit.cursor is not None:
        names.add(unit.cursor)
    values = (unit.source_schema, unit.source_table, sorted(names))
    table, columns, views, parts, fixed, seen = session.execute(_MADE_OF, values)[0]
    return Makeup(table=table, columns=columns, views=views, parts=parts, fixed=fixed, seen=seen)


def difference(session: PostgresSession, old: Makeup, new: Makeup) -> str:
    """Why rows of ``new`` do not go together with those of ``old``; empty where they do.

    A table that joined after ``old`` was seen, and was made after it, too, is none: its rows are new ones.
    """
    if old.table != new.table:
        return "its name belongs to another table now"
    if old.columns != new.columns:
        return "its columns are others now"
    if old.views != new.views:
        return "a view says something else now"
    if not set(old.parts) <= set(new.parts):
        return "a table that was part of it is none any more"
    if _older(session, set(new.parts) - set(old.parts), old.seen):
        return "a table became part of it that was there before"
    return ""


def is_older(old: Makeup, new: Makeup) -> bool:
    """Whether ``new`` was seen before ``old`` was: the database was set back, or a replica of it lags."""
    if not old.seen or not new.seen:
        return False  # an older syncmon noted it
    return _end(new.seen) < _end(old.seen)


def _end(seen: str) -> int:
    """The first transaction that a snapshot does not see, of ``xmin:xmax:those between``."""
    return int(seen.split(":")[1])


def _older(session: PostgresSession, tables: Sequence[int] | set[int], seen: str) -> bool:
    """Whether any of ``tables`` may have been there in the snapshot that is described as ``seen``."""
    return bool(tables) and bool(session.execute(_OLDER, (sorted(tables), seen)))
