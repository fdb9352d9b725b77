"""Sequences, which number rows to come: how they stand, and where they must go on."""
# ruff: noqa: S608  # names are quoted by sync.quoting, or by the database

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sqlite import SqliteSession
from syncmon_ext.sync.quoting import ident, relation

BATCH: Final = 100  # sequences that one query reads: each is a table of its own
# The largest numbers of the types that can number rows.
INTEGERS: Final = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}
_OF_TABLES: Final = """
SELECT n.nspname, t.relname, a.attname, format('%%I.%%I', sn.nspname, s.relname), a.attidentity = 'a',
       q.seqincrement, q.seqmin, q.seqmax, q.seqstart, q.seqcache, q.seqcycle,
       has_sequence_privilege(s.oid, 'SELECT')
FROM unnest(%s::text[], %s::text[]) AS wanted (schema, name)
JOIN pg_namespace n ON n.nspname = wanted.schema
JOIN pg_class t ON t.relnamespace = n.oid AND t.relname = wanted.name
"""
_OWNED: Final = f"""{_OF_TABLES}
JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid
     AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
JOIN pg_sequence q ON q.seqrelid = d.objid
JOIN pg_class s ON s.oid = q.seqrelid JOIN pg_namespace sn ON sn.oid = s.relnamespace
"""
# Not where a default makes something else of the number: a column does not tell then how far it is.
_DEFAULT: Final = f"""{_OF_TABLES}
JOIN pg_attribute a ON a.attrelid = t.oid
     AND a.atttypid IN ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype)
JOIN pg_attrdef f ON f.adrelid = t.oid AND f.adnum = a.attnum
     AND pg_get_expr(f.adbin, t.oid) ~ '^nextval\\(''([^'']|'''')+''::regclass\\)$'
JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid
     AND d.refclassid = 'pg_class'::regclass
JOIN pg_sequence q ON q.seqrelid = d.refobjid
JOIN pg_class s ON s.oid = q.seqrelid JOIN pg_namespace sn ON sn.oid = s.relnamespace
"""


class SequenceState(msgspec.Struct, frozen=True, kw_only=True):
    """A sequence of PostgreSQL as it stands."""

    name: str  # as SQL
    always: bool  # GENERATED ALWAYS
    increment: int
    low: int
    high: int
    start: int
    cache: int
    cycles: bool
    last: int | None = None  # None: it may not be read
    called: bool = False

    @property
    def due(self) -> int | None:
        """The number that it gives next."""
        if self.last is None or not self.called:
            return self.last
        return max(self.last + self.increment, -(2**63))  # below it is no number of JSON's readers

    def clause(self, type_name: str, *, always: bool) -> str:
        """How a column of ``type_name`` is numbered likewise; ``always``, where this one is."""
        top = INTEGERS[type_name]
        low, high = max(self.low, -top - 1), min(self.high, top)
        parts = [
            "ALWAYS" if self.always and always else "BY DEFAULT",
            f"AS IDENTITY (INCREMENT BY {self.increment} MINVALUE {low} MAXVALUE {high}",
            f"START WITH {min(max(self.start, low), high)} CACHE {self.cache}",
        ]
        return f"{' '.join(parts)}{' CYCLE' if self.cycles else ''})"


Place = tuple[str | None, str, str]  # schema, table and column
Owned = dict[Place, SequenceState]


def position(state: SequenceState, end: int | None, due: int | None) -> tuple[int, bool] | None:
    """What setval is given, so that no number comes again: none up to ``end``, the last one in the table,
    and none before ``due``, the source's next one. None where the sequence is there: it never goes back,
    and keeps its steps."""
    if state.last is None:
        return None
    step, up = state.increment, 1 if state.increment > 0 else -1
    first, bound = (state.low, state.high) if up > 0 else (state.high, state.low)
    ahead = state.last + step if state.called else state.last
    wanted = ahead
    if end is not None and end * up >= wanted * up:
        wanted += ((end - wanted) // step + 1) * step
    if due is not None and due * up > wanted * up:
        wanted = due
    if wanted == ahead:
        return None
    if wanted * up > bound * up:  # used up, as the source's may be
        return None if ahead * up > bound * up else (bound, True)
    before = wanted - step
    return (before, True) if before * up >= first * up else (wanted, False)


def owned(
    session: PostgresSession, tables: Sequence[tuple[str | None, str]], *, reading: bool = False
) -> Owned:
    """The sequences of the columns of the tables. Where they are for ``reading`` alone, those
    that this user may not read have no ``last``; otherwise they are an error."""
    return _states(session, _OWNED, tables, reading=reading)


def of_defaults(session: PostgresSession, tables: Sequence[tuple[str | None, str]]) -> Owned:
    """The sequences that the columns of the tables take their next numbers from, whoever owns them."""
    return _states(session, _DEFAULT, tables, reading=False)


def _states(
    session: PostgresSession,
    statement: str,
    tables: Sequence[tuple[str | None, str]],
    *,
    reading: bool,
) -> Owned:
    rows = session.execute(
        statement, ([schema for schema, _ in tables], [table for _, table in tables])
    )
    readable = list(dict.fromkeys(row[3] for row in rows if row[11] or not reading))
    stand: dict[str, tuple[Any, ...]] = {}
    for at in range(0, len(readable), BATCH):
        asked = readable[at : at + BATCH]
        parts = [f"SELECT {n}, last_value, is_called FROM {s}" for n, s in enumerate(asked)]
        stand |= {asked[row[0]]: row[1:] for row in session.execute(" UNION ALL ".join(parts))}
    return {
        (schema, table, column): SequenceState(
            name=name,
            always=always,
            increment=increment,
            low=low,
            high=high,
            start=start,
            cache=cache,
            cycles=cycles,
            last=stand[name][0] if name in stand else None,
            called=stand[name][1] if name in stand else False,
        )
        for (
            schema,
            table,
            column,
            name,
            always,
            increment,
            low,
            high,
            start,
            cache,
            cycles,
            _,
        ) in rows
    }


def ends(session: PostgresSession, states: Owned) -> dict[Place, int | None]:
    """The last number that is in each column, in the direction of its sequence."""
    found: dict[Place, int | None] = {}
    places = list(states)
    for at in range(0, len(places), BATCH):
        asked = places[at : at + BATCH]
        parts = [
            f"SELECT {n}, {'max' if states[place].increment > 0 else 'min'}({ident(place[2])})::bigint "
            f"FROM {relation(*place[:2])}"
            for n, place in enumerate(asked)
        ]
        found |= {asked[n]: end for n, end in session.execute(" UNION ALL ".join(parts))}
    return found


def set_to(session: PostgresSession, positions: Sequence[tuple[str, int, bool]]) -> None:
    """Set sequences, each by its name as SQL, to what ``position`` gave."""
    if positions:
        named, values, called = zip(*positions, strict=True)
        session.execute(
            "SELECT setval(name::regclass, value, called) "
            "FROM unnest(%s::text[], %s::bigint[], %s::bool[]) AS wanted (name, value, called)",
            (list(named), list(values), list(called)),
        )


def given_numbers(session: SqliteSession) -> dict[str, int]:
    """The highest number that each table with AUTOINCREMENT has given, by the name in lower case."""
    there = "SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'"
    if not session.execute(there):
        return {}
    rows = session.execute(
        "SELECT lower(name), seq FROM sqlite_sequence WHERE typeof(seq) = 'integer'"
    )
    return dict(rows)
