"""A COPY of one PostgreSQL straight into a COPY of another: the compiled loop moves the rows from socket to
socket, the driver begins both commands and reads both results."""

from __future__ import annotations

import select
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from syncmon_ext.store.deferred import Deferred
from syncmon_ext.sync import throttle
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.faults import fault_point
from syncmon_ext.sync.routes import compiled
from syncmon_ext.sync.routes.base import Landed

if TYPE_CHECKING:
    import psycopg
else:
    psycopg = Deferred("psycopg")

SOURCE_WAIT: Final = 1  # the states of the compiled loop
ENDED: Final = 2
TARGET_WAIT: Final = 3
REFUSED: Final = 4
TURN_SECONDS: Final = 0.05  # what the loop does on its own; a longer wait is told of
UNBOUNDED: Final = 1 << 40  # rows or bytes: no bound but the time
BOUNDED_BYTES: Final = 131_072  # a turn of a copy whose pace is bounded
BOUNDED_ROWS: Final = 10_000
GIVEN_UP: Final = b"the copy was given up"


def loops(source: PostgresSession, target: PostgresSession) -> Any:
    """The compiled loops where they can pass rows on between the two; else None."""
    found: Any = compiled.for_postgresql()
    ends: list[Any] = [source.raw.pgconn, target.raw.pgconn]
    if not hasattr(found, "forward"):  # None, or compiled from an older source
        return None
    return found if all(found.is_plain(end.pgconn_ptr) for end in ends) else None


def forwarded(
    loops: Any, source: PostgresSession, target: PostgresSession, query: str, into: str
) -> Landed:
    """Pass the rows of the COPY ``query`` to the COPY ``into``, which are open when the first is read."""
    started = time.perf_counter()
    with target.guard():
        _begin(target, into)
    way = Way(loops, source, target)
    try:
        with source.guard():
            _send(source, query)
        fault_point("chunk.read")
        way.run()
        with source.guard():
            rows_read = _result(source)
    except BaseException:
        way.give_up()
        raise
    finishing = time.perf_counter()
    with target.guard():
        rows = _end(target)
    ended = time.perf_counter()
    target_seconds = way.target_seconds + ended - finishing
    return Landed(
        rows_read=rows_read,
        rows=rows,
        bytes=way.size,
        source_seconds=way.source_seconds,
        transfer_seconds=max(
            0.0, ended - started - way.slept - way.source_seconds - target_seconds
        ),
        target_seconds=target_seconds,
    )


class Way:
    """Both COPYs under way."""

    def __init__(self, loops: Any, source: PostgresSession, target: PostgresSession) -> None:
        self._source, self._target = source, target
        self._ends = source.raw.pgconn.socket, target.raw.pgconn.socket
        self._forward = loops.forward
        self._way = loops.forwarding(*self._ends)
        self._state = 0
        self.size = 0
        self.source_seconds = self.target_seconds = self.slept = 0.0

    def run(self) -> None:
        """Pass all rows on; raises what the target says against it."""
        pacer = throttle.Pacer()
        while self._state != ENDED:
            rows, size = UNBOUNDED, UNBOUNDED
            if pacer.bounded:
                rows, size = pacer.batch_rows(BOUNDED_ROWS), BOUNDED_BYTES
            passed = self._forward(self._way, rows, size, TURN_SECONDS)
            rows, size, source_seconds, target_seconds, self._state = passed
            self.size += size
            self.source_seconds += source_seconds
            self.target_seconds += target_seconds
            self.slept += pacer.spend(rows, size)
            if self._state == SOURCE_WAIT:
                self.source_seconds += self._waited(self._source, select.POLLIN, 0)
            elif self._state == TARGET_WAIT:
                self.target_seconds += self._waited(self._target, 0, select.POLLOUT)
            elif self._state == REFUSED:
                with self._target.guard():
                    _end(self._target, GIVEN_UP)  # raises what the target said

    def _waited(self, session: PostgresSession, source: int, target: int) -> float:
        """Wait for ``session`` as long as it takes; the target may speak at any time."""
        both = select.poll()
        both.register(self._ends[0], source)
        both.register(self._ends[1], target | select.POLLIN)
        started = time.perf_counter()
        with session.guard():
            both.poll()
        return time.perf_counter() - started

    def give_up(self) -> None:
        """End the target's COPY without its rows, and the source's connection where rows are left in it."""
        if self._state != ENDED:
            self._source.close()  # the driver does not know how far it has been read
        with suppress(psycopg.Error):
            if self._state == TARGET_WAIT:
                self._target.raw.close()  # it would take what comes for the rest of the message
            elif self._state != REFUSED:
                _end(self._target, GIVEN_UP)


def _begin(session: PostgresSession, statement: str) -> None:
    result = session.raw.pgconn.exec_(statement.encode())
    if result.status != psycopg.pq.ExecStatus.COPY_IN:
        raise psycopg.errors.error_from_result(result)


def _send(session: PostgresSession, statement: str) -> None:
    """Send a query whose answer the driver does not read: nothing here may let it look at its socket."""
    connection = session.raw.pgconn
    connection.send_query(statement.encode())
    room = select.poll()
    room.register(connection.socket, select.POLLOUT)
    while connection.flush():
        room.poll()


def _end(session: PostgresSession, error: bytes | None = None) -> int:
    connection = session.raw.pgconn
    connection.put_copy_end(error)
    both = select.poll()
    both.register(connection.socket, select.POLLIN | select.POLLOUT)
    while connection.flush():
        if both.poll()[0][1] & select.POLLIN:
            connection.consume_input()
    return _result(session)


def _result(session: PostgresSession) -> int:
    """The rows that a COPY has moved, once it has ended; raises the first of its errors."""
    connection = session.raw.pgconn
    arrival = select.poll()
    arrival.register(connection.socket, select.POLLIN)
    rows, error = 0, None
    while True:
        try:
            while connection.is_busy():
                arrival.poll()
                connection.consume_input()
        except psycopg.Error as lost:
            raise error or lost from None
        result = connection.get_result()
        if result is None:
            break
        if result.status != psycopg.pq.ExecStatus.COMMAND_OK:
            error = error or psycopg.errors.error_from_result(result)
        rows = result.command_tuples or 0
    if error is not None:
        raise error
    return rows
