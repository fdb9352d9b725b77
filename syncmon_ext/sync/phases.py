"""What a job is waiting for: told by the job, shown to a person when it lasts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# Set by whoever runs the jobs, for its thread: a process of Dask's runs several at a time.
_listener: ContextVar[Callable[[str | None], None] | None] = ContextVar("listener", default=None)


def listen(listener: Callable[[str | None], None] | None) -> None:
    """Send the connection name of every wait of this thread to ``listener``, None at its end."""
    _listener.set(listener)


@contextmanager
def waiting_for(connection: str) -> Iterator[None]:
    """Say that the block inside waits for the database ``connection``.

    After an error the mark stands: until the next try, the job still waits for that database.
    """
    listener = _listener.get()
    if listener is not None:
        listener(connection)
    yield
    if listener is not None:
        listener(None)
