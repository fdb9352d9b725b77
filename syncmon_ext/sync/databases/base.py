"""What the engine asks of a connection to a database, whatever the database."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from sqlalchemy import Executable

Row = tuple[Any, ...]


class Session(Protocol):
    """One connection. Statements run outside a transaction unless within ``transaction()``.

    Whatever the driver raises leaves as a SyncmonError that says whether another try is worth it.
    """

    dialect: str
    name: str  # of the connection, as the configuration calls it
    default_schema: str | None

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """The rows of a statement of text; ``parameters`` only where the dialect binds them."""
        ...

    def change(self, statement: str, parameters: Sequence[Any] = ()) -> int:
        """The number of rows that a statement of text changed."""
        ...

    def run(self, statement: Executable) -> list[Row]:
        """The rows of a SQLAlchemy Core statement."""
        ...

    def run_change(self, statement: Executable) -> int:
        """The number of rows that a SQLAlchemy Core statement changed."""
        ...

    def transaction(self) -> AbstractContextManager[None]:
        """One transaction that writes: committed at the end of the block, rolled back on any error."""
        ...

    def savepoint(self) -> AbstractContextManager[None]:
        """A part of the open transaction that an error undoes alone, where the database still can."""
        ...

    @property
    def in_transaction(self) -> bool:
        """True within a transaction that can go on."""
        ...

    def guard(self) -> AbstractContextManager[None]:
        """Around calls of the driver itself: tells that the database is waited for, maps errors."""
        ...

    def mapped(self) -> AbstractContextManager[None]:
        """Around calls of the driver that are told elsewhere: maps errors."""
        ...

    @property
    def raw(self) -> Any:
        """The driver's own connection, for the hot path."""
        ...

    @property
    def broken(self) -> bool:
        """True when the connection must not be used again."""
        ...

    def close(self) -> None:
        """Close the connection; never raises."""
        ...
