"""PostgreSQL: how it is connected, and what its errors mean."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Executable

from syncmon_ext.model.connection import Connection
from syncmon_ext.model.errors import (
    BadRow,
    CopyFailed,
    DatabaseUnavailable,
    InvalidConfig,
    Serialization,
    SnapshotLost,
    SyncmonError,
)
from syncmon_ext.store.deferred import Deferred
from syncmon_ext.sync import inherited, phases, refusals, secrets, url_rules
from syncmon_ext.sync.databases.base import Row
from syncmon_ext.sync.databases.compiling import Compiler
from syncmon_ext.sync.databases.settings import FELT, SETTINGS
from syncmon_ext.sync.engine_url import parsed

if TYPE_CHECKING:
    import psycopg
else:
    psycopg = Deferred("psycopg")

CONNECT_SECONDS: Final = 10
UNWANTED_BYTES: Final = 1 << 20  # to read more of them takes longer than to connect again
_KEEPALIVES: Final = {
    "keepalives": 1,
    "keepalives_idle": 10,  # seconds
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds that sent data may stay unacknowledged
}

# Classes and codes worth another try (PostgreSQL, appendix A).
_UNAVAILABLE: Final = re.compile(r"08...|57P0[1-5]|53300|57014|55P03|25P0[34]|58030")
_CONFLICT: Final = ("40001", "40P01")
_FULL: Final = ("53100", "53200")
_OF_A_ROW: Final = ("22", "23")  # data exceptions, integrity constraints
_RAISED: Final = "P0001"  # a trigger's own refusal
_COPY_COLUMN: Final = re.compile(
    r"^COPY .*?, line \d+, column (?P<column>.*?)(?::|$)", re.MULTILINE
)
_FUNCTION: Final = re.compile(r"^(?:PL/\w+|SQL) function (?P<name>\S+?\(.*?\)|\S+)", re.MULTILINE)
_REFUSED: Final = ("28000", "28P01", "3D000")
# The same while connecting, when libpq keeps the SQLSTATE for itself: waiting mends none of it.
_REFUSED_SAID: Final = re.compile(
    r'authentication failed|(?:database|role) ".*" does not exist|no pg_hba\.conf entry'
    r"|is not permitted to log in|permission denied for database"
)


class PostgresSession:
    """A connection to PostgreSQL, in autocommit until ``transaction()``."""

    dialect = "postgresql"

    def __init__(self, connection: Connection, *, application_name: str, read_only: bool) -> None:
        self.name = connection.name
        self._broken = False
        self._open: psycopg.Connection[Row] | None = None
        self.application_name = application_name
        self._read_only = read_only
        url = parsed(connection)
        reached = url_rules.check_addresses(url, self.name)
        password = secrets.resolve(connection.password, self.name) if connection.password else None
        options: dict[str, Any] = {**_KEEPALIVES, **url.query}
        if url.database:
            options["dbname"] = url.database
        if url.host:
            options["host"] = url.host
        if url.port:
            options["port"] = url.port
        if url.username:
            options["user"] = url.username
        if password is None and url.password is not None:
            password = str(url.password)
        if password is not None:
            options["password"] = password
        options["application_name"] = application_name
        options.setdefault("connect_timeout", CONNECT_SECONDS)
        options |= reached
        self._secret = password
        with self.guard():
            self._open = psycopg.connect(
                **options, autocommit=True, prepare_threshold=None, client_encoding="UTF8"
            )
            felt = ", ".join(["current_setting(%s)"] * len(FELT))
            row = self._open.execute(
                "SELECT current_schema(), current_setting('server_version_num')::int, "
                f"current_database(), pg_backend_pid(), {felt}".encode(),
                list(FELT),
            ).fetchone()
            if row is None:
                raise DatabaseUnavailable(f"{self.name}: the server gave no answer")
            self.default_schema: str | None = row[0] or "public"
            self.version: int = row[1]
            self.database: str = row[2]
            self.pid: int = row[3]
            # Of the role, or of the database.
            self.usual: dict[str, str] = dict(zip(FELT, row[4:], strict=True))
            settings = dict(SETTINGS)
            if self.version < 140000:
                del settings["client_connection_check_interval"]
            if read_only:
                settings["row_security"] = "off"  # a policy must not hide rows silently
                settings["default_transaction_read_only"] = "on"
                # A view may read days out of texts; the order changes nothing of what is written.
                settings["DateStyle"] = f"ISO, {self.usual['DateStyle'].rpartition(' ')[2]}"
            calls = ", ".join(["set_config(%s, %s, false)"] * len(settings))
            values = [text for setting in settings.items() for text in setting]
            self._open.execute(f"SELECT {calls}".encode(), values)

    @property
    def raw(self) -> psycopg.Connection[Row]:
        """The driver's connection."""
        if self._open is None:
            raise DatabaseUnavailable(f"the connection {self.name} is closed")
        return self._open

    @property
    def broken(self) -> bool:
        """True when the connection is lost, or not back in its idle state."""
        return self._broken or self._open is None or self._open.closed

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """The rows of a statement of text, values bound as ``%s``."""
        with self.guard():
            cursor = self.raw.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description is not None else []

    def change(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        """The number of rows that a statement of text changed."""
        with self.guard():
            return self.raw.execute(statement.encode(), parameters or None).rowcount

    def run(self, statement: Executable) -> list[Row]:
        """The rows of a SQLAlchemy Core statement."""
        with self.guard():
            cursor = self.raw.execute(*_compiled(statement))
            return cursor.fetchall() if cursor.description is not None else []

    def run_change(self, statement: Executable) -> int:
        """The number of rows that a SQLAlchemy Core statement changed."""
        with self.guard():
            return self.raw.execute(*_compiled(statement)).rowcount

    @contextmanager
    def transaction(self, *, usual: Collection[str] = ()) -> Iterator[None]:
        """One transaction that writes; READ COMMITTED, so that a lock's loser sees the winner's row.

        The settings ``usual`` are the role's own in it, at no cost, where functions of the target run.
        """
        own = f"; {self._set({name: self.usual[name] for name in usual})}" if usual else ""
        self.change(f"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE{own}")
        try:
            yield
            self.change(self._set(self.usual))  # triggers that are deferred fire now
            self.change("COMMIT")
        except BaseException:
            self._rollback()
            raise

    @contextmanager
    def usual_settings(self) -> Iterator[None]:
        """Around statements that call the target's own functions: triggers, rules, checks and defaults.

        Names without a schema, days, and texts of values mean in them what they mean to the role
        elsewhere. No value comes or goes as text meanwhile. An error ends the transaction, and this
        with it.
        """
        self.change(self._set(self.usual))
        yield
        self.change(self._set(FELT))

    @contextmanager
    def settled_names(self) -> Iterator[None]:
        """In a transaction with the usual settings, around a look at types: the plan has them as the
        session's own ``search_path`` lets the server write them."""
        self.change(self._set({"search_path": SETTINGS["search_path"]}))
        yield
        self.change(self._set({"search_path": self.usual["search_path"]}))

    def _set(self, settings: dict[str, str]) -> str:
        calls = (
            f"set_config({self.literal(name)}, {self.literal(value)}, true)"
            for name, value in settings.items()
        )
        return f"SELECT {', '.join(calls)}"

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """A part of the open transaction that an error undoes alone."""
        self.change("SAVEPOINT syncmon_part")
        try:
            yield
        except BaseException:
            if self._open is not None and self._open.info.transaction_status in _within():
                self.change("ROLLBACK TO SAVEPOINT syncmon_part")
                self.change("RELEASE SAVEPOINT syncmon_part")
            raise
        self.change("RELEASE SAVEPOINT syncmon_part")

    @property
    def in_transaction(self) -> bool:
        """True within a transaction that can go on."""
        return (
            self._open is not None
            and self._open.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
        )

    @contextmanager
    def reading(self, snapshot: str | None) -> Iterator[None]:
        """A transaction that reads one state of the database: the exported ``snapshot``, or its own."""
        self.change("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            if snapshot is not None:
                self._import(snapshot)
            yield
            self.change("COMMIT")
        except BaseException:
            self._rollback()
            raise

    def end_copy(self) -> bool:
        """Read a COPY that nobody wants any more to its end; False where that is too far away."""
        if self.broken:
            return False
        connection, left = self.raw.pgconn, UNWANTED_BYTES
        if connection.transaction_status != psycopg.pq.TransactionStatus.ACTIVE:
            return True
        with self.guard():
            while (result := connection.get_result()) is not None:
                while result.status == psycopg.pq.ExecStatus.COPY_OUT:
                    size, _ = connection.get_copy_data(0)
                    if size < 0:
                        break
                    left -= size
                    if left < 0:
                        return False
        return True

    def _import(self, snapshot: str) -> None:
        try:
            self.change(f"SET TRANSACTION SNAPSHOT {self.literal(snapshot)}")
        except CopyFailed as error:
            raise SnapshotLost(
                f"{self.name}: the snapshot that is read is gone ({error.message})",
                hint="start the task again: it goes on with a new snapshot",
            ) from None

    def _rollback(self) -> None:
        if self._open is None or self._open.closed:
            return
        try:
            if self._open.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                self._open.rollback()
        except psycopg.Error:
            self._broken = True
            self.close()

    def line(self) -> socket.socket:
        """The connection's socket once more: another thread may shut it down at any moment, and whoever
        waits for the server then gets an error."""
        return socket.socket(fileno=os.dup(self.raw.pgconn.socket))

    def literal(self, value: Any) -> str:
        """``value`` as SQL text."""
        return psycopg.sql.Literal(value).as_string(self.raw)

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Tells that this database is waited for; maps the driver's errors."""
        with phases.waiting_for(self.name), self.mapped():
            yield

    @contextmanager
    def mapped(self) -> Iterator[None]:
        """Maps the driver's errors."""
        try:
            yield
        except psycopg.Error as error:
            raise self.translated(error) from None

    def translated(self, error: psycopg.Error) -> SyncmonError:
        """The SyncmonError that ``error`` means; CONTEXT, and DETAIL unless allowed, are left out."""
        state = error.sqlstate or ""
        text = error.diag.message_primary or str(error).split("\nDETAIL:")[0].strip()
        if error.diag.message_detail and inherited.logs_details():
            text = f"{text} ({error.diag.message_detail})"
        if self._secret:
            text = text.replace(self._secret, "***")
        lost = self._open is None or self._open.closed
        self._broken = self._broken or lost
        if state in _REFUSED or (lost and not state and _REFUSED_SAID.search(text)):
            return InvalidConfig(
                f"{self.name}: {text}", hint="check user, password and database of the connection"
            )
        if state in _CONFLICT:
            return Serialization(f"{self.name}: {text}")
        if state in _FULL:
            return CopyFailed(
                f"{self.name}: {text}",
                hint="make room on the server, then start the task again: it goes on where it was",
            )
        if _UNAVAILABLE.fullmatch(state) or (
            not state and isinstance(error, psycopg.OperationalError)
        ):
            return DatabaseUnavailable(
                f"{self.name}: {text}", hint="is the server up, and can it be reached from here?"
            )
        if state == "42501":
            user = self._open.info.user if self._open is not None else "the connection's user"
            hint = refusals.right_hint(text, user, reading=self._read_only)
            return CopyFailed(f"{self.name}: {text}", hint=hint)
        said = f"{self.name}: {text}" + (f" (SQLSTATE {state})" if state else "")
        function = _FUNCTION.search(error.diag.context or "")
        hint = refusals.postgresql_hint(
            state,
            text,
            column=error.diag.column_name or "",
            constraint=error.diag.constraint_name or "",
            function=function["name"] if function else "",
        )
        if state[:2] in _OF_A_ROW or state == _RAISED or isinstance(error, psycopg.DataError):
            within = _COPY_COLUMN.search(error.diag.context or "")
            return BadRow(
                said,
                hint=hint,
                column=error.diag.column_name or (within["column"] if within else ""),
                reason=_reason(text, state),
            )
        return CopyFailed(said, hint=hint)

    def close(self) -> None:
        """Close the connection."""
        if self._open is not None:
            with suppress(psycopg.Error):
                self._open.close()
        self._open = None


def _reason(text: str, state: str) -> str:
    """``text`` without the values that stand after a colon, or anywhere in a trigger's words."""
    words = "the target's trigger refused the row" if state == _RAISED else text.split(": ")[0]
    return f"{words} (SQLSTATE {state})" if state else words


def _compiled(statement: Executable) -> tuple[bytes, dict[str, Any]]:
    compiled, values = _compiler()(statement)
    return str(compiled).encode(), values


@cache
def _compiler() -> Compiler:
    from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

    return Compiler(PGDialect_psycopg())  # type: ignore[no-untyped-call]


def _within() -> tuple[psycopg.pq.TransactionStatus, ...]:
    return (psycopg.pq.TransactionStatus.INTRANS, psycopg.pq.TransactionStatus.INERROR)


def load() -> None:
    """Import what connections need, before a fork: the children then have it."""
    _compiler()
    _within()
