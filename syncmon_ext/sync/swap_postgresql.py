"""The swap in PostgreSQL: names and foreign keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from syncmon_ext.model.errors import CopyFailed
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync import cascades, circles, foreign_keys, names, numbering, staging
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.ownership import Ownership
from syncmon_ext.sync.quoting import ident, relation
from syncmon_ext.sync.reflect.tables import reflect_all

LOCK_SECONDS: Final = 10  # everyone queues behind a swap that waits: it gives up and comes again
# The keys of some four million rows are sorted in this; in the server's default of 64 MB they go to disk.
INDEX_MEMORY: Final = "256MB"


def set_patience(session: PostgresSession, seconds: int = LOCK_SECONDS) -> None:
    """Bound the wait for locks in this transaction."""
    session.change(f"SET LOCAL lock_timeout = '{seconds}s'")


def set_memory(session: PostgresSession) -> None:
    """Let this transaction's indexes be sorted in memory, unless somebody has set how much they may take."""
    session.execute(
        "SELECT set_config(name, %s, true) FROM pg_settings "
        "WHERE name = 'maintenance_work_mem' AND source = 'default'",
        (INDEX_MEMORY,),
    )


def lock_alone(session: PostgresSession, units: Sequence[UnitPlan], *, wait: bool = True) -> None:
    """Keep everybody out; without ``wait`` it fails at once where somebody is at one of the tables."""
    _lock(session, units, "ACCESS EXCLUSIVE MODE" if wait else "ACCESS EXCLUSIVE MODE NOWAIT")


def _lock(session: PostgresSession, units: Sequence[UnitPlan], mode: str) -> None:
    if units:
        tables = ", ".join(relation(unit.target_schema, unit.target_table) for unit in units)
        session.change(f"LOCK TABLE {tables} IN {mode}")


def locked(session: PostgresSession, own: Ownership, units: Sequence[UnitPlan]) -> list[UnitPlan]:
    """Lock the targets, then look at them: gives the units whose rows are to be moved.

    Of what others commit while a lock is waited for nothing is lost. Readers go on where rows are moved.
    """
    renamed = [unit for unit in units if unit.swap == "rename"]
    while renamed:
        session.change("SAVEPOINT syncmon_locks")
        lock_alone(session, renamed)
        kept = _keeping(session, own, renamed)
        all_kept = len(kept) == len(renamed)
        if not all_kept:  # a move needs a weaker lock, which is not waited for under this one
            session.change("ROLLBACK TO SAVEPOINT syncmon_locks")
        session.change("RELEASE SAVEPOINT syncmon_locks")
        if all_kept:
            break
        renamed = kept
    moved = [
        unit
        for unit in units
        if unit.swap in ("move", "merge") or (unit.swap == "rename" and unit not in renamed)
    ]
    # Keys are taken off alone with a table; a lock that is made stronger would wait for who waits for it.
    circle = circles.keys(session, moved)
    _lock(session, moved, "ACCESS EXCLUSIVE MODE" if circle else "SHARE ROW EXCLUSIVE MODE")
    cascades.refuse(session, moved)
    return moved


# What the landing table took over from the target when it was made.
_DEFINED: Final = """
SELECT ARRAY(SELECT a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull::text
                 || ' ' || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
             FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
             WHERE a.attrelid = t.id AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1),
       ARRAY(SELECT c.conname || ' ' || pg_get_constraintdef(c.oid) FROM pg_constraint c
             WHERE c.conrelid = t.id AND c.contype = 'c' ORDER BY 1)
FROM (SELECT name::regclass AS id, place FROM unnest(%s::text[]) WITH ORDINALITY AS wanted (name, place)) AS t
ORDER BY t.place
"""


def _keeping(session: PostgresSession, own: Ownership, units: Sequence[UnitPlan]) -> list[UnitPlan]:
    """The units whose rename loses nothing: neither what hangs on the target, nor what was added to it."""
    shapes = reflect_all(session, [(unit.target_schema, unit.target_table) for unit in units])
    targets, landed = (
        session.execute(_DEFINED, ([relation(unit.target_schema, table) for unit, table in named],))
        for named in (
            [(unit, unit.target_table) for unit in units],
            [(unit, names.staging(own, unit)) for unit in units],
        )
    )
    kept = []
    for unit, target, stage in zip(units, targets, landed, strict=True):
        shape = shapes[unit.target_schema, unit.target_table]
        if shape is None:
            raise CopyFailed(
                f"target {unit.target_table} is no table any more", hint="start the task fresh"
            )
        if not shape.dependents and target == stage:
            kept.append(unit)
    return kept


def rename(session: PostgresSession, own: Ownership, unit: UnitPlan) -> None:
    """Put the staging table in the place of the target, which is locked or does not exist."""
    stage = names.staging(own, unit)
    source = relation(unit.target_schema, stage)
    if unit.swap == "create":
        if staging.exists(session, unit.target_schema, unit.target_table):
            raise CopyFailed(
                f"table {unit.target_table} was made by somebody else while it was copied",
                hint="start the task fresh",
            )
        session.change(f"ALTER TABLE {source} RENAME TO {ident(unit.target_table)}")
        numbering.named_after(session, unit)
        return
    target = relation(unit.target_schema, unit.target_table)
    staging.build_indexes(session, own, unit)  # those that were added since
    listed = staging.postgresql_indexes(session, unit.target_schema, unit.target_table)
    session.change(f"DROP TABLE {target}")
    session.change(f"ALTER TABLE {source} RENAME TO {ident(unit.target_table)}")
    for index in listed:
        provisional = relation(unit.target_schema, names.provisional_index(stage, index.name))
        session.change(f"ALTER INDEX {provisional} RENAME TO {ident(index.name)}")


def add_foreign_keys(session: PostgresSession, unit: UnitPlan) -> list[str]:
    """Make the foreign keys of a new table; gives what could not be made, and why."""
    table = relation(unit.target_schema, unit.target_table)
    warnings = []
    for number, key in enumerate(unit.foreign_keys):
        if not staging.exists(session, key.schema, key.table):
            warnings.append(f"foreign key to {key.table} was not made: the table is not there")
            continue
        point = f"syncmon_foreign_key_{number}"
        session.change(f"SAVEPOINT {point}")
        try:
            session.change(f"ALTER TABLE {table} ADD {foreign_keys.in_postgresql(key)}")
        except CopyFailed as error:
            session.change(f"ROLLBACK TO SAVEPOINT {point}")
            warnings.append(f"foreign key to {key.table} was not made: {error.message}")
        session.change(f"RELEASE SAVEPOINT {point}")
    return warnings
