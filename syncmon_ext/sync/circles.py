"""Foreign keys of PostgreSQL between tables that point to each other: off while their rows are replaced."""

from __future__ import annotations

from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Final

import msgspec

from syncmon_ext.model.errors import CopyFailed
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.quoting import ident, relation

_KEYS: Final = """
SELECT a.name, b.name, con.conname, pg_get_constraintdef(con.oid),
       obj_description(con.oid, 'pg_constraint'),
       (SELECT coalesce(jsonb_object_agg(format('%%s %%s', tgrelid, tgfoid), tgenabled), '{}')
        FROM pg_trigger WHERE tgconstraint = con.oid AND tgenabled <> 'O')::text
FROM pg_constraint con
JOIN unnest(%s::text[]) AS a (name) ON con.conrelid = a.name::regclass
JOIN unnest(%s::text[]) AS b (name) ON con.confrelid = b.name::regclass
WHERE con.contype = 'f' AND con.conparentid = 0 AND con.conrelid <> con.confrelid
"""
_TRIGGERS: Final = """
SELECT format('%%s %%s', g.tgrelid, g.tgfoid), g.tgrelid::regclass::text, g.tgname
FROM pg_trigger g JOIN pg_constraint con ON con.oid = g.tgconstraint
WHERE con.conrelid = %s::regclass AND con.conname = %s
"""
_FIRING: Final = {"D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A foreign key, and what was set of it beside its definition."""

    table: str  # as SQL
    name: str
    definition: str
    comment: str | None
    # pg_trigger.tgenabled of those triggers that somebody set, by table and function: their names are new
    # with each key.
    firing: dict[str, str]


def keys(session: PostgresSession, units: Sequence[UnitPlan]) -> list[Key]:
    """The foreign keys between the targets, where there is a circle: in no order could they be emptied and
    filled one after the other. None where there is no circle."""
    if len(units) < 2:  # it takes two
        return []
    names = [relation(unit.target_schema, unit.target_table) for unit in units]
    graph: dict[str, list[str]] = {}
    found = []
    for table, other, name, definition, comment, firing in session.execute(_KEYS, (names, names)):
        graph.setdefault(table, []).append(other)
        set_ = msgspec.json.decode(firing, type=dict[str, str])
        key = Key(table=table, name=name, definition=definition, comment=comment, firing=set_)
        found.append(key)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError:
        return found
    return []


def take_off(session: PostgresSession, units: Sequence[UnitPlan]) -> list[Key]:
    """Drop the keys of a circle, and give them."""
    found = keys(session, units)
    for key in found:
        if key.firing and session.execute("SHOW is_superuser") != [("on",)]:
            raise CopyFailed(
                f"foreign key {key.name} of {key.table}: triggers of it are disabled, or fire on a replica "
                "only or always, which only a superuser could set again",
                hint=f"ALTER TABLE {key.table} ENABLE TRIGGER ALL, or run this task as a superuser",
            )
    for key in found:
        session.change(f"ALTER TABLE {key.table} DROP CONSTRAINT {ident(key.name)}")
    return found


def put_on(session: PostgresSession, taken_off: Sequence[Key]) -> None:
    """Make the keys again as they were; every row is checked."""
    for key in taken_off:
        name = ident(key.name)
        session.change(f"ALTER TABLE {key.table} ADD CONSTRAINT {name} {key.definition}")
        if key.comment is not None:
            text = session.literal(key.comment)
            session.change(f"COMMENT ON CONSTRAINT {name} ON {key.table} IS {text}")
        if key.firing:
            for trigger, table, made in session.execute(_TRIGGERS, (key.table, key.name)):
                if trigger in key.firing:
                    firing = _FIRING[key.firing[trigger]]
                    session.change(f"ALTER TABLE {table} {firing} TRIGGER {ident(made)}")
