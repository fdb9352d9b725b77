"""Whether a table of PostgreSQL, or those that a view reads, are still the ones that a snapshot shows.

Rows are read in the snapshot, but of the tables and columns that bear the names today. TRUNCATE, and each
ALTER that rewrites a table, are not seen by older snapshots as what they are: to them the table is empty from
then on. CLUSTER and VACUUM FULL give its rows other places. All of them give the table another file, and so
tell themselves: the snapshot has the old one, the server's caches the present one. What else may have changed
leaves its mark on the rows of the catalog that the snapshot shows: the number of the transaction that put
others in their place. Then a second session, which sees today's catalog, is asked.

Labels of enums and functions are none of a table's: PostgreSQL writes and calls them by the present catalog,
whatever snapshot is read. So they are looked at in the same way.

pg_dump locks its tables against all this; for the hours of a copy that would hold up everybody who waits
behind such a command.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from syncmon_ext.model.connection import Connection
from syncmon_ext.model.errors import SnapshotLost
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync import makeup
from syncmon_ext.sync.databases import sessions
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sessions import READER, AnySession
from syncmon_ext.sync.reflect import postgresql_types

TODAY: Final = f"{READER}/today"  # the session that sees what has been committed by now

# A table that inherits from another leaves a mark on that one only where it is the first.
_CHANGED: Final = f"""
WITH RECURSIVE wanted (number, name, id, today) AS (
    SELECT w.number - 1, w.name, {makeup.NAMED}, to_regclass(format('%%I.%%I', w.schema, w.name))
    FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS w (schema, name, number)
), parts (id, whose) AS ({makeup.PARTS}),
{{called}}since (age) AS MATERIALIZED (
    SELECT age((txid_snapshot_xmin(txid_current_snapshot()) & 4294967295)::text::xid)
)
SELECT number, part, what FROM (
SELECT p.whose AS number, c.relname AS part, CASE
    WHEN c.relkind IN ('r', 'm') AND c.relfilenode <> 0
             AND c.relfilenode IS DISTINCT FROM pg_relation_filenode(c.oid)
         OR c.relkind = 'v' AND has_table_privilege(c.oid, 'SELECT') IS NULL  -- it is gone
        THEN 'file'
    WHEN c.relkind = 'r' AND c.relhassubclass OR age(c.xmax) <= s.age
         OR EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid AND age(i.xmax) <= s.age)
         OR c.relkind = 'v' AND EXISTS (
             SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid AND age(r.xmax) <= s.age)
         OR c.relkind = 'p' AND EXISTS (
             SELECT FROM pg_partition_tree(c.oid) t JOIN pg_class k ON k.oid = t.relid
             WHERE t.relid NOT IN (SELECT id FROM parts))
        THEN 'doubt'
    END AS what
FROM parts p JOIN pg_class c ON c.oid = p.id CROSS JOIN since s
UNION ALL
SELECT w.number, w.name, CASE
    WHEN w.id IS DISTINCT FROM w.today THEN 'name'
    WHEN EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = w.id AND age(a.xmax) <= s.age)
        THEN 'doubt'
    END
FROM wanted w CROSS JOIN since s
{{own}}) AS found WHERE what IS NOT NULL ORDER BY what = 'doubt', what
"""  # noqa: S608  # constants
_OWN: Final = f"""UNION ALL
SELECT c.whose, '', 'doubt' FROM called c JOIN pg_proc f ON f.oid = c.id CROSS JOIN since s
WHERE c.class = 'pg_proc'::regclass AND age(f.xmax) <= s.age
UNION ALL
SELECT p.whose, '', 'doubt' FROM parts p JOIN pg_class c ON c.oid = p.id
WHERE EXISTS (SELECT FROM pg_enum e CROSS JOIN since s WHERE age(e.xmax) <= s.age)
      AND (c.relkind = 'v' OR EXISTS (
          SELECT FROM pg_attribute a WHERE a.attrelid = p.id AND a.attnum > 0
                 AND a.atttypid::bigint >= {postgresql_types.FIRST_OWN}))
"""  # noqa: S608  # constants
_PLAIN: Final = _CHANGED.format(called="", own="")
_WITH_OWN: Final = _CHANGED.format(
    called=f"called (class, id, whose) AS ({makeup.CALLED}),\n", own=_OWN
)


def check(source: Connection, session: AnySession, units: Sequence[UnitPlan]) -> None:
    """Raise SnapshotLost where a table was emptied, rewritten, dropped or renamed after the snapshot,
    or its columns or partitions are others.

    To be asked in the transaction that has read the tables, which keeps them as they are from then on.
    """
    if not isinstance(session, PostgresSession):
        return
    names = [unit.source_schema for unit in units], [unit.source_table for unit in units]
    doubtful: set[int] = set()
    asked = _WITH_OWN if any(map(makeup.may_hold_own, units)) else _PLAIN
    for number, part, what in session.execute(asked, names):
        table = units[number].source_table
        if what == "doubt":
            doubtful.add(number)
            continue
        whose = table if part == table else f"{part}, which {table} reads,"
        done = (
            "emptied, rewritten or dropped" if what == "file" else "renamed or replaced by another"
        )
        raise _lost(f"{session.name}: {whose} was {done} while it was read")
    for number in sorted(doubtful):
        unit = units[number]
        shown = makeup.of(session, unit)
        with sessions.opened(source, TODAY) as today:
            if not isinstance(today, PostgresSession):
                raise TypeError("only PostgreSQL has snapshots")
            found = makeup.difference(today, shown, makeup.of(today, unit))
        if found:
            raise _lost(
                f"{session.name}: {unit.source_table} was changed while it was read: {found}"
            )


def compare(session: AnySession, unit: UnitPlan) -> None:
    """Raise SnapshotLost where the table is no longer what it was when its first chunk was read: without a
    snapshot, each chunk finds a state of its own. Partitions may come and go as rows do.

    To be asked in the transaction that has read the chunk.
    """
    if unit.made_of is None or not isinstance(session, PostgresSession):
        return
    before, now = (
        msgspec.structs.replace(each, parts=[]) for each in (unit.made_of, makeup.of(session, unit))
    )
    if found := makeup.difference(session, before, now):
        raise _lost(
            f"{session.name}: {unit.source_table} was changed since its first rows were read: {found}"
        )


def _lost(message: str) -> SnapshotLost:
    return SnapshotLost(message, hint="start the task again: it goes on with a new snapshot")
