"""What a table or view of PostgreSQL is made of: itself, its columns, the tables that are read with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from syncmon_ext.model.makeup import Makeup
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.reflect import postgresql_types

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

# What the rules of views call, whatever stands between: operators, aggregates, other functions. PostgreSQL's
# own functions are none of it, nor those that only the text of another function names.
CALLED: Final = """
    SELECT 'pg_rewrite'::regclass::oid, r.oid, p.whose
    FROM parts p JOIN pg_class v ON v.oid = p.id AND v.relkind = 'v' JOIN pg_rewrite r ON r.ev_class = v.oid
    UNION SELECT d.refclassid, d.refobjid, c.whose
    FROM called c JOIN pg_depend d ON d.classid = c.class AND d.objid = c.id
    WHERE d.refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_type'::regclass)
          AND c.class <> 'pg_type'::regclass"""

_WANTED: Final = f"""
WITH RECURSIVE wanted (number, id, names) AS (
    SELECT 1, {NAMED}, w.names FROM (SELECT %s::text, %s::text, %s::text[]) AS w (schema, name, names)
), parts (id, whose) AS ({PARTS})"""  # noqa: S608  # constants
_SHOWN: Final = """
SELECT w.id::bigint,
       md5(ARRAY(
           SELECT a.attname || ' ' || a.attnum || ' ' || a.atttypid FROM pg_attribute a
           WHERE a.attrelid = w.id AND a.attname = ANY (w.names) AND a.attnum > 0
           ORDER BY 1)::text),
       md5(ARRAY(
           SELECT r.ev_action::text FROM parts p JOIN pg_class v ON v.oid = p.id
           JOIN pg_rewrite r ON r.ev_class = v.oid WHERE v.relkind = 'v' ORDER BY v.oid)::text),
       ARRAY(SELECT DISTINCT p.id::bigint FROM parts p WHERE p.id <> w.id ORDER BY 1),
       NOT EXISTS (SELECT FROM parts p JOIN pg_class c ON c.oid = p.id
                   WHERE c.relkind NOT IN ('r', 'p', 'm')),
       txid_current_snapshot()::text"""
_MADE_OF: Final = f"{_WANTED}{_SHOWN}, '{{}}'::text[], '{{}}'::text[] FROM wanted w"
_MADE_OF_OWN: Final = f"""{_WANTED},
called (class, id, whose) AS ({CALLED}),
types (id) AS (
    SELECT a.atttypid FROM wanted w JOIN pg_class t ON t.oid = w.id JOIN parts p ON true
    JOIN pg_attribute a ON a.attrelid = p.id
    WHERE a.attnum > 0 AND a.atttypid::bigint >= {postgresql_types.FIRST_OWN}
          AND (a.attname = ANY (w.names) OR (t.relkind = 'v' AND p.id <> w.id))
    UNION SELECT c.id FROM called c WHERE c.class = 'pg_type'::regclass
    UNION SELECT part.t FROM types t JOIN pg_type y ON y.oid = t.id,
        LATERAL ({postgresql_types.PARTS}) AS part (t)
    WHERE part.t::bigint >= {postgresql_types.FIRST_OWN}
){_SHOWN},
       ARRAY(SELECT e.oid::bigint || ' ' || e.enumlabel FROM pg_enum e
             WHERE e.enumtypid IN (SELECT id FROM types) ORDER BY e.oid),
       ARRAY(SELECT f.oid::bigint || ' ' || md5((to_jsonb(f) - '{{proacl,procost,prorows}}'::text[])::text)
             FROM called c JOIN pg_proc f ON c.class = 'pg_proc'::regclass AND f.oid = c.id ORDER BY f.oid)
FROM wanted w
"""  # noqa: S608  # constants
# The columns of the system's own are written once, with the table itself.
_OLDER: Final = """
SELECT a.attrelid::bigint FROM pg_attribute a
WHERE a.attrelid = ANY (%s::bigint[]::oid[]) AND a.attname = 'tableoid' AND a.attnum < 0
      AND age(a.xmin) > age((txid_snapshot_xmax(%s::txid_snapshot) & 4294967295)::text::xid)
"""


def may_hold_own(unit: UnitPlan) -> bool:
    """Whether labels of enums or functions of users may be in what is read: out of a view, which is always
    read as a whole, or out of columns whose types are not PostgreSQL's own: those are named with a schema."""
    types = [*(column.source_type for column in unit.columns), *unit.key_types]
    return unit.chunk_method == "whole" or bool(unit.where) or any("." in name for name in types)


def of(session: PostgresSession, unit: UnitPlan) -> Makeup:
    """The makeup of the unit's table in the state that ``session`` reads."""
    names = {column.name for column in unit.columns} | {*unit.key, *unit.where}
    if unit.cursor is not None:
        names.add(unit.cursor)
    values = (unit.source_schema, unit.source_table, sorted(names))
    asked = _MADE_OF_OWN if may_hold_own(unit) else _MADE_OF
    table, columns, views, parts, fixed, seen, labels, functions = session.execute(asked, values)[0]
    return Makeup(
        table=table,
        columns=columns,
        views=views,
        parts=parts,
        labels=labels,
        functions=functions,
        fixed=fixed,
        seen=seen,
    )


def difference(session: PostgresSession, old: Makeup, new: Makeup) -> str:
    """Why rows of ``new`` do not go together with those of ``old``; empty where they do.

    A table that joined after ``old`` was seen, and was made after it, too, is no reason: its rows are new
    ones. Nor is a label that an enum got: no earlier row has it.
    """
    if old.table != new.table:
        return "its name belongs to another table now"
    if old.columns != new.columns:
        return "its columns are others now"
    if old.views != new.views:
        return "a view says something else now"
    if not set(old.functions) <= set(new.functions):
        return "a function that a view calls is another now"
    if not set(old.labels) <= set(new.labels):
        return "a label of an enum was renamed"
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
