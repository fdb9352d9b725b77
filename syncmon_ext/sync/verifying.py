"""Verification by content: what landed is compared with what was read, chunk by chunk.

The source's digest is taken in the very state that a chunk is copied from, and kept in its checkpoint;
so a source that changes later raises no alarm. Bad chunks are taken back, to be copied again.
"""
# ruff: noqa: S608  # names are quoted by sync.quoting

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from syncmon_ext.model.chunk import Chunk, KeyValue
from syncmon_ext.model.errors import BadRow
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync import checkpoint, digest, fence, names, ranges, rejects
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sessions import AnySession
from syncmon_ext.sync.digest import Digest
from syncmon_ext.sync.faults import fault_point
from syncmon_ext.sync.ownership import Ownership
from syncmon_ext.sync.quoting import ident, relation

_INTEGERS: Final = ("smallint", "integer", "bigint")
# Types whose order does not hang on a collation.
_ORDERED: Final = (
    *_INTEGERS,
    "numeric",
    "uuid",
    "date",
    "timestamp without time zone",
    "timestamp with time zone",
    "bytea",
)


def taken_back(session: AnySession, own: Ownership, unit: UnitPlan) -> list[Chunk]:
    """The chunks whose content differs, which are no longer committed; none where all agree."""
    table = names.landing(own, unit)
    expected = checkpoint.digests(session, own, unit.unit_id)
    by_range = indexed = compares_ranges(unit)
    bad: list[Chunk] | None = None
    index = f"{names.STAGING_PREFIX}verify_{table[-16:]}"
    if by_range:
        terms = ", ".join(ranges.key_terms(unit)) if session.dialect == "sqlite" else None
        terms = terms or ", ".join(map(ident, unit.key))
        place = relation(unit.target_schema, table)
        with session.transaction():
            session.change(f"CREATE INDEX IF NOT EXISTS {ident(index)} ON {place} ({terms})")
            fence.check(session, own, [unit])
        fault_point("verify.indexed")
        bad = _differing(session, unit, table, expected)
    if bad is None:
        by_range = False
        total = sum((wanted for _, wanted in expected), Digest())
        found = digest.of_landed(session, table, unit, None, None)
        bad = [] if found == total else [chunk for chunk, _ in expected]
    aside = rejects.keys_of_run(session, own, unit.unit_id) if bad and unit.max_rejects else []
    if any(type(value) is not int for key in aside for value in key):
        bad, by_range = [chunk for chunk, _ in expected], False  # which chunk had them is not told
    fault_point("verify.compared")
    with session.transaction():
        if indexed:
            session.change(f"DROP INDEX IF EXISTS {relation(unit.target_schema, index)}")
        _take_back(session, own, unit, table, bad, by_range=by_range)
        for key in aside:  # they are read again, and may have been mended
            if not by_range or any(_holds(chunk, key) for chunk in bad):
                session.run_change(
                    rejects.of_run_removed(session.dialect, own, unit.unit_id, key=key)
                )
        fence.check(session, own, [unit])
        fault_point("verify.before_commit")
    fault_point("verify.after_commit")
    return bad


def _holds(chunk: Chunk, key: KeyValue) -> bool:
    """Whether a key of integers is within the chunk; a bound may be of the first columns alone."""
    low, high = chunk.low, chunk.high
    return (low is None or key[: len(low)] > low) and (high is None or key[: len(high)] <= high)


def _differing(
    session: AnySession, unit: UnitPlan, table: str, expected: Sequence[tuple[Chunk, Digest]]
) -> list[Chunk] | None:
    """The chunks whose ranges differ; None where a range ends at the key of a row that was set aside,
    which may be no value of the target's type."""
    try:
        return [
            chunk
            for chunk, wanted in expected
            if digest.of_landed(session, table, unit, chunk.low, chunk.high) != wanted
        ]
    except BadRow:
        if not unit.max_rejects:
            raise
        return None


def _take_back(
    session: AnySession,
    own: Ownership,
    unit: UnitPlan,
    table: str,
    bad: Sequence[Chunk],
    *,
    by_range: bool,
) -> None:
    landed = digest.as_landed(unit)
    place = relation(unit.target_schema, table)
    if bad and not by_range:
        session.change(f"DELETE FROM {place}")
    for chunk in bad:
        if by_range:
            values: list[Any] = []
            if isinstance(session, PostgresSession):
                where = ranges.where(landed, chunk.low, chunk.high, session.literal)
            else:
                bind = ranges.Binder()
                where, values = ranges.where(landed, chunk.low, chunk.high, bind), bind.values
            session.change(f"DELETE FROM {place}{where}", values)
        session.run_change(checkpoint.undone(session.dialect, own, unit.unit_id, chunk))


def compares_ranges(unit: UnitPlan) -> bool:
    """True where a range of the key holds the same rows in the target: both sort them alike.

    Elsewhere the table is compared as a whole, by the sum of its chunks.
    """
    if unit.chunk_method != "key":
        return False
    copied = {column.name: column for column in unit.copied if not column.lossy}
    key = [copied.get(name) for name in unit.key]
    if any(column is None for column in key):
        return False
    kept = [column for column in key if column is not None]
    if unit.route == "sqlite_sqlite":
        return True
    if unit.route == "postgresql_postgresql":
        return all(
            column.source_type == column.target_type
            and column.source_type.partition("(")[0] in _ORDERED
            for column in kept
        )
    return all(
        column.check == "integer"
        and (column.source_type in _INTEGERS or column.target_type in _INTEGERS)
        for column in kept
    )
