"""What definitions need that a target does not have: functions, operator classes, collations, a version."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.reflect.shape import CheckShape, IndexShape

_THERE: Final = """
SELECT o.type || ' ' || o.identity FROM (
    SELECT 'pg_proc'::regclass AS class, oid FROM pg_proc WHERE oid >= 12000
    UNION ALL SELECT 'pg_opclass'::regclass, oid FROM pg_opclass WHERE oid >= 12000
    UNION ALL SELECT 'pg_operator'::regclass, oid FROM pg_operator WHERE oid >= 12000
    UNION ALL SELECT 'pg_collation'::regclass, oid FROM pg_collation
) AS known, LATERAL pg_identify_object(known.class, known.oid, 0) AS o
WHERE o.type || ' ' || o.identity = ANY(%s::text[])
"""


class Absent(msgspec.Struct, frozen=True, kw_only=True):
    """What a target does not have."""

    version: int  # that the target is of
    objects: frozenset[str]

    def of(self, made: IndexShape | CheckShape) -> list[str]:
        """What ``made`` lacks."""
        lacks = sorted(self.objects.intersection(made.needs))
        return lacks + ([f"PostgreSQL {made.since // 10_000}"] if made.since > self.version else [])


def absent(target: PostgresSession, wanted: Iterable[IndexShape | CheckShape]) -> Absent:
    """What of the needs of ``wanted`` is not in ``target``: one query, and none where nothing is needed."""
    needs = {need for made in wanted for need in made.needs}
    there = target.execute(_THERE, (sorted(needs),)) if needs else []
    return Absent(version=target.version, objects=frozenset(needs - {row[0] for row in there}))
