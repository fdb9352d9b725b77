"""Whether a table of PostgreSQL, or those that a view reads, are still the ones that a snapshot shows.

TRUNCATE, and each ALTER that rewrites a table, are not seen by older snapshots as what they are: to them the
table is empty from then on. CLUSTER and VACUUM FULL give its rows other places. All of them give the table
another file, and so tell themselves: the snapshot has the old one, the server's caches the present one.
pg_dump locks its tables against them instead; for the hours of a copy that would hold up everybody who waits
behind such a command.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from syncmon_ext.model.errors import SnapshotLost
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sessions import AnySession

# The tables with those that inherit from them, partitions too, and those that views read, as the snapshot
# has them. A materialised view is read as a table: what it was made from does not matter.
_REWRITTEN: Final = """
WITH RECURSIVE parts (id, whose) AS (
    SELECT c.oid, wanted.name
    FROM unnest(%s::text[], %s::text[]) AS wanted (schema, name)
    JOIN pg_namespace n ON n.nspname = wanted.schema
    JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name
    UNION SELECT next.id, p.whose FROM parts p CROSS JOIN LATERAL (
        SELECT inhrelid FROM pg_inherits WHERE inhparent = p.id
        UNION ALL
        SELECT d.refobjid FROM pg_class v JOIN pg_rewrite r ON r.ev_class = v.oid
        JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
             AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> v.oid
        WHERE v.oid = p.id AND v.relkind = 'v') AS next (id)
)
SELECT p.whose, c.relname FROM parts p JOIN pg_class c ON c.oid = p.id
WHERE c.relkind IN ('r', 'm') AND c.relfilenode <> 0
      AND c.relfilenode IS DISTINCT FROM pg_relation_filenode(c.oid)
   OR c.relkind = 'v' AND has_table_privilege(c.oid, 'SELECT') IS NULL  -- it is gone
LIMIT 1
"""


def check(session: AnySession, units: Sequence[UnitPlan]) -> None:
    """Raise SnapshotLost where a table was emptied, rewritten or dropped since the snapshot was taken.

    To be asked in the transaction that has read the tables, which keeps them as they are from then on.
    """
    if not isinstance(session, PostgresSession):
        return
    names = [unit.source_schema for unit in units], [unit.source_table for unit in units]
    for table, part in session.execute(_REWRITTEN, names):
        what = table if part == table else f"{part}, which {table} reads,"
        raise SnapshotLost(
            f"{session.name}: {what} was emptied, rewritten or dropped while it was read",
            hint="start the task again: it goes on with a new snapshot",
        )
