"""The carrier: what takes the jobs that move rows to where they run, and can take them back."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol

from syncmon_ext.model.connection import Connection
from syncmon_ext.sync.attempts import attempted
from syncmon_ext.sync.ownership import Ownership
from syncmon_ext.sync.pool import ChildPool


class Carrier(Protocol):
    """Runs a job of plain data, with references to secrets; a job that is run twice changes nothing."""

    def carry(
        self,
        label: str,
        function: Callable[..., Any],
        source: Connection,
        target: Connection,
        own: Ownership,
        *rest: Any,
        last: bool = False,
    ) -> Future[Any]:
        """Begin ``function(source, target, own, *rest)``, tried again under ``label`` where a database
        was at fault. ``last``: it takes memory that its process does not give back."""
        ...

    def take_back(self) -> bool:
        """Give up what is under way. True where backends of it may be left, which the target must end."""
        ...

    def waits(self) -> list[tuple[str, float]]:
        """What jobs wait for, and for how many seconds, the longest first."""
        ...

    def set_rates(self, rows: float, size_bytes: float) -> None:
        """Bound each chunk in flight, as ChildPool does."""
        ...

    def close(self) -> None:
        """Take back what is under way, and let go of all."""
        ...


class LocalCarrier:
    """Carries jobs to the children of a pool, which others use as well."""

    def __init__(self, pool: ChildPool) -> None:
        self._pool = pool

    def carry(
        self,
        label: str,
        function: Callable[..., Any],
        source: Connection,
        target: Connection,
        own: Ownership,
        *rest: Any,
        last: bool = False,
    ) -> Future[Any]:
        """Begin the job in a child; where it is the ``last``, the child ends with it."""
        submit = self._pool.submit_last if last else self._pool.submit
        return submit(attempted, label, function, source, target, own, *rest)

    def take_back(self) -> bool:
        """Nothing: the pool is killed by whoever opened it, and the backends end with its children."""
        return False

    def waits(self) -> list[tuple[str, float]]:
        """Nothing: the pool tells it, of all its jobs."""
        return []

    def set_rates(self, rows: float, size_bytes: float) -> None:
        """Bound each chunk in flight."""
        self._pool.set_rates(rows, size_bytes)

    def close(self) -> None:
        """Nothing: the pool is closed by whoever opened it."""
