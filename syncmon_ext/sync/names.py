"""Names of what the engine makes in a target."""

from __future__ import annotations

import hashlib
from typing import Final

from syncmon_ext.model.plan import IndexPlan, UnitPlan
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sessions import AnySession
from syncmon_ext.sync.ownership import Ownership

STAGING_PREFIX: Final = "_syncmon_stage_"
INDEX_PREFIX: Final = "_syncmon_index_"
_BYTES: Final = 63


def staging(own: Ownership, unit: UnitPlan) -> str:
    """The staging table of a unit in a run: the same for every owner of the run."""
    return STAGING_PREFIX + _digest(
        own.store_id, own.run_id, unit.target_schema or "", unit.target_table
    )


def landing(own: Ownership, unit: UnitPlan) -> str:
    """The table that the unit's chunks are written to."""
    return unit.target_table if unit.direct else staging(own, unit)


def provisional_index(table: str, index: str) -> str:
    """What an index of a staging table is called until the table it replaces is gone."""
    return INDEX_PREFIX + _digest(table, index)


def index(session: AnySession, unit: UnitPlan, plan: IndexPlan) -> str:
    """A name for ``plan`` that is free in the target: its own one where possible."""
    ending = "pkey" if plan.primary else "key" if plan.unique else "idx"
    wanted = plan.name or "_".join([unit.target_table, *plan.columns, ending])
    if plan.primary and not plan.name:
        wanted = f"{unit.target_table}_pkey"
    candidates = [wanted, f"{unit.target_table}_{wanted}"]
    candidates += [f"{wanted}_{number}" for number in range(1, 100)]
    for candidate in candidates:
        name = _cut(candidate)
        if name != unit.target_table and not _taken(session, unit.target_schema, name):
            return name
    return INDEX_PREFIX + _digest(unit.target_table, wanted)


def _taken(session: AnySession, schema: str | None, name: str) -> bool:
    if isinstance(session, PostgresSession):
        rows = session.execute(
            "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = %s AND c.relname = %s",
            (schema, name),
        )
    else:
        rows = session.execute(
            "SELECT count(*) FROM sqlite_schema WHERE name = ? COLLATE NOCASE", (name,)
        )
    return bool(rows[0][0])


def _cut(name: str) -> str:
    raw = name.encode()
    if len(raw) <= _BYTES:
        return name
    return raw[: _BYTES - 9].decode(errors="ignore") + "_" + _digest(name)[:8]


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
