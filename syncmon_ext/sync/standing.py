"""What a target still has of a run that goes on: it may have been restored, made anew or cleared."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select

from syncmon_ext.model.connection import Connection
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync import engine_url, fence
from syncmon_ext.sync.databases import sessions
from syncmon_ext.sync.ledger import exists, ledger
from syncmon_ext.sync.ownership import Ownership
from syncmon_ext.sync.results import Standing


def found(target: Connection, own: Ownership, units: Sequence[UnitPlan]) -> Standing:
    """What the target knows of the run of ``own``; nothing where it has no tables of syncmon."""
    if engine_url.dialect(target) == "sqlite" and not engine_url.sqlite_path(target).exists():
        return Standing()
    with sessions.opened(target, own.application_name) as session:  # which the next job needs, too
        if not exists(session):
            return Standing()
        tables = ledger(session.dialect)
        u, c = tables.units, tables.checkpoints
        fences = fence.found(session, units)
        placed = session.run(
            select(u.c.unit_id).where(
                u.c.store_id == own.store_id, u.c.run_id == own.run_id, u.c.swapped
            )
        )
        chunks = session.run(
            select(c.c.unit_id, func.count())
            .where(c.c.store_id == own.store_id, c.c.run_id == own.run_id)
            .group_by(c.c.unit_id)
        )
        return Standing(
            ended={
                unit.unit_id
                for unit in units
                if (held := fences.get(fence.of(unit))) and (held.finished or not held.of_run(own))
            },
            placed={row[0] for row in placed},
            chunks={unit_id: int(count) for unit_id, count in chunks},
        )
