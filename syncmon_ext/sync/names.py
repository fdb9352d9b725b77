"""Names of what the engine makes in a target."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import msgspec

from syncmon_ext.model.plan import IndexPlan, UnitPlan
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sessions import AnySession
from syncmon_ext.sync.ownership import Ownership

STAGING_PREFIX: Final = "_syncmon_stage_"
INDEX_PREFIX: Final = "_syncmon_index_"
SEQUENCE_PREFIX: Final = "_syncmon_sequence_"
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


class Taken:
    """The names that relations of a target have; asked for many at a time where that is known before."""

    def __init__(self, session: AnySession) -> None:
        self._session = session
        self._known: dict[tuple[str | None, str], bool] = {}

    def __contains__(self, place: tuple[str | None, str]) -> bool:
        if place not in self._known:
            self.ask([place])
        return self._known[place]

    def add(self, place: tuple[str | None, str]) -> None:
        """Note a name that is given away."""
        self._known[place] = True

    def ask(self, places: Sequence[tuple[str | None, str]]) -> None:
        """Look names up, each with its schema."""
        names = [name for _, name in places]
        if isinstance(self._session, PostgresSession):
            found = self._session.execute(
                "SELECT wanted.at FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY "
                "AS wanted (schema, name, at) JOIN pg_namespace n ON n.nspname = wanted.schema "
                "JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name",
                ([schema for schema, _ in places], names),
            )
        else:
            found = self._session.execute(
                "SELECT key + 1 FROM json_each(?) WHERE lower(value) IN "
                "(SELECT lower(name) FROM sqlite_schema)",
                (msgspec.json.encode(names).decode(),),
            )
        there = {row[0] for row in found}
        self._known |= {place: at in there for at, place in enumerate(places, 1)}


def index(taken: Taken, unit: UnitPlan, plan: IndexPlan) -> str:
    """A name for ``plan`` that is free in the target, and is taken now: its own one where possible."""
    wanted = wanted_index(unit, plan)
    candidates = [wanted, f"{unit.target_table}_{wanted}"]
    candidates += [f"{wanted}_{number}" for number in range(1, 100)]
    for candidate in candidates:
        place = (unit.target_schema, _cut(candidate))
        if place[1] != unit.target_table and place not in taken:
            taken.add(place)
            return place[1]
    return INDEX_PREFIX + _digest(unit.target_table, wanted)


def sequence(taken: Taken, unit: UnitPlan, column: str) -> str:
    """A name for the sequence of a column that is free in the target, and is taken now."""
    wanted = f"{unit.target_table}_{column}_seq"
    for candidate in [wanted, *(f"{wanted}{number}" for number in range(1, 100))]:
        place = (unit.target_schema, _cut(candidate))
        if place not in taken:
            taken.add(place)
            return place[1]
    return SEQUENCE_PREFIX + _digest(unit.target_table, column)


def wanted_index(unit: UnitPlan, plan: IndexPlan) -> str:
    """What ``plan`` is called where nothing else has that name."""
    if plan.primary and not plan.name:
        return f"{unit.target_table}_pkey"
    ending = "pkey" if plan.primary else "key" if plan.unique else "idx"
    return plan.name or "_".join([unit.target_table, *plan.columns, ending])


def _cut(name: str) -> str:
    raw = name.encode()
    if len(raw) <= _BYTES:
        return name
    return raw[: _BYTES - 9].decode(errors="ignore") + "_" + _digest(name)[:8]


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
