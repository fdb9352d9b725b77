"""Copying around bad rows: a chunk that is refused is halved until the rows are alone that are bad."""
# ruff: noqa: S608  # names are quoted by sync.quoting; values are bound or quoted by the driver

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from syncmon_ext.model.chunk import Chunk, KeyValue
from syncmon_ext.model.connection import Connection
from syncmon_ext.model.errors import BadRow
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.model.reject import Reject
from syncmon_ext.sync import bad_rows, chunks, pool, ranges, rejects, wording
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sessions import AnySession
from syncmon_ext.sync.digest import Digest
from syncmon_ext.sync.ownership import Ownership
from syncmon_ext.sync.preparing import reading
from syncmon_ext.sync.quoting import relation
from syncmon_ext.sync.routes.base import Landed

_POINT = "syncmon_part"
Part = tuple[Landed, Digest | None]
_NOTHING: Final[Part] = (
    Landed(
        rows_read=0,
        rows=0,
        bytes=0,
        source_seconds=0.0,
        transfer_seconds=0.0,
        target_seconds=0.0,
    ),
    Digest(),
)


class Around:
    """One chunk's copy around its bad rows, within the target's open transaction.

    ``attempt`` copies a part and gives what landed. Lost connections and locks are no BadRow: they leave
    as they are, and the whole chunk is tried again.
    """

    def __init__(
        self,
        source: Connection,
        target: AnySession,
        own: Ownership,
        unit: UnitPlan,
        snapshot: str | None,
        attempt: Callable[[Chunk], Part],
    ) -> None:
        self._source = source
        self._target = target
        self._own = own
        self._unit = unit
        self._snapshot = snapshot
        self._attempt = attempt
        self.rejected: list[tuple[Reject, KeyValue]] = []
        self._before: int | None = (
            None  # rows that were rejected before, but for those of this chunk
        )

    def copy(self, chunk: Chunk) -> Part:
        """Copy ``chunk`` but for its bad rows, which are kept in the target's table of rejects.

        Raises BadRow once the unit has more of them than its ``max_rejects``.
        """
        part, error = self._tried(chunk)
        if part is None:
            with reading(self._source, self._snapshot) as origin:
                part = self._halved(origin, chunk, _rows(origin, self._unit, chunk), error)
        for reject, key in self.rejected:
            self._target.run_change(
                rejects.written(self._target, self._own, self._unit, reject, key)
            )
        return part

    def _tried(self, chunk: Chunk) -> tuple[Part | None, BadRow]:
        self._target.change(f"SAVEPOINT {_POINT}")
        try:
            part = self._attempt(chunk)
        except BadRow as error:
            self._target.change(f"ROLLBACK TO SAVEPOINT {_POINT}")
            self._target.change(f"RELEASE SAVEPOINT {_POINT}")
            return None, error
        self._target.change(f"RELEASE SAVEPOINT {_POINT}")
        return part, BadRow("")

    def _halved(self, origin: AnySession, chunk: Chunk, count: int, error: BadRow) -> Part:
        """Copy the halves of a chunk of ``count`` rows that was refused with ``error``."""
        if count <= 1:
            count = _rows(origin, self._unit, chunk)  # more may have come since it was counted
        if count <= 1:
            self._reject(origin, chunk, error)
            return _NOTHING
        size = (count + 1) // 2
        middle = chunks.middle(origin, self._unit, chunk.low, chunk.high, size)
        if middle == chunk.high:
            left = _rows(origin, self._unit, chunk)
            if left >= count:
                raise error
            return self._halved(origin, chunk, left, error)  # the source has lost rows meanwhile
        first, clean = self._half(origin, Chunk(low=chunk.low, high=middle), size)
        # Beside a half without bad rows is one that has some: there is no need to find that out.
        refused = error if clean and count - size > 1 else None
        second, _ = self._half(origin, Chunk(low=middle, high=chunk.high), count - size, refused)
        return _added(first, second)

    def _half(
        self, origin: AnySession, half: Chunk, count: int, refused: BadRow | None = None
    ) -> tuple[Part, bool]:
        """What landed of ``half``, and whether that is all of it; it is known to be ``refused``, or tried."""
        part = None
        if refused is None:
            part, refused = self._tried(half)
        return (part, True) if part else (self._halved(origin, half, count, refused), False)

    def _reject(self, origin: AnySession, chunk: Chunk, error: BadRow) -> None:
        told = BadRow(
            wording.named(self._own, self._unit, error.message),
            column=error.column,
            reason=wording.named(self._own, self._unit, error.reason),
        )
        found = bad_rows.described(origin, self._own, self._unit, chunk, told)
        if found is None:
            return
        self.rejected.append(found)
        pool.tell_moving(self._unit.unit_id)
        if self._before is None:
            self._before = self._counted()
        self._before -= self._counted(found[1])  # the chunk is copied a second time
        if self._before + len(self.rejected) > self._unit.max_rejects:
            raise BadRow(
                f"more than {self._unit.max_rejects:,} rows are bad (max_rejects); the last: "
                f"{error.message}",
                hint=error.hint or "mend the rows, or raise max_rejects",
                column=error.column,
                reason=error.reason,
            )

    def _counted(self, key: KeyValue | None = None) -> int:
        counted = rejects.counted(self._target.dialect, self._own, self._unit.unit_id, key=key)
        return int(self._target.run(counted)[0][0])


def _rows(session: AnySession, unit: UnitPlan, chunk: Chunk) -> int:
    """The rows between the chunk's bounds, those that the filter leaves out as well."""
    table = relation(bad_rows.source_schema(session, unit), unit.source_table)
    values: list[Any] = []
    plain = msgspec.structs.replace(unit, where={})
    if isinstance(session, PostgresSession):
        where = ranges.where(plain, chunk.low, chunk.high, session.literal)
    else:
        bind = ranges.Binder()
        where, values = ranges.where(plain, chunk.low, chunk.high, bind), bind.values
    return int(session.execute(f"SELECT count(*) FROM {table}{where}", values)[0][0])


def _added(first: Part, second: Part) -> Part:
    a, b = first[0], second[0]
    landed = Landed(
        **{name: getattr(a, name) + getattr(b, name) for name in Landed.__struct_fields__}
    )
    digests = [part[1] for part in (first, second) if part[1] is not None]
    return landed, sum(digests, Digest()) if digests else None
