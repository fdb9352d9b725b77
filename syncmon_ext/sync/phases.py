"""What a job is waiting for: told by the job, shown to a person when it lasts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Set once per process by the pool that runs the jobs; a job elsewhere (Dask) reports nothing.
_listener: Callable[[str | None], None] | None = None


def listen(listener: Callable[[str | None], None] | None) -> None:
    """Send the connection name of every wait of this process to ``listener``, None at its end."""
    global _listener
    _listener = listener


@contextmanager
def waiting_for(connection: str) -> Iterator[None]:
    """Say that the block inside waits for the database ``connection``.

    After an error the mark stands: until the next try, the job still waits for that database.
    """
    if _listener is not None:
        _listener(connection)
    yield
    if _listener is not None:
        _listener(None)
