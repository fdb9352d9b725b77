"""The pace of a copy: an upper bound on rows/s and bytes/s over all chunks in flight."""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import Protocol

from syncmon_ext.model.errors import DatabaseUnavailable, SyncmonError


class Pace(Protocol):
    """Holds a chunk's copy back; the rates may change while it runs."""

    def rates(self) -> tuple[float, float]:
        """Rows/s and bytes/s that this chunk may use now; 0.0 = no bound."""


class PaceChanged(DatabaseUnavailable):
    """A bound came while a statement ran that cannot be held back: the chunk is begun again, bounded."""

    code = "pace_changed"


class ChunkTooLarge(SyncmonError):
    """A bound came while a whole table was moved at once: its range is to be cut into chunks that can be
    held back."""

    code = "chunk_too_large"


_pace: ContextVar[Pace | None] = ContextVar("pace", default=None)
SLICE_SECONDS = 0.2  # so that a changed rate is felt well within 2 s
BURST_SECONDS = 0.5  # how far a chunk may run ahead of its rate


def set_pace(pace: Pace | None) -> None:
    """Bound every chunk that this thread copies from now on."""
    _pace.set(pace)


def bounded() -> bool:
    """True where rows or bytes of what this thread copies have a bound now."""
    pace = _pace.get()
    return pace is not None and any(pace.rates())


class Pacer:
    """One chunk's account: call ``spend`` after each batch, it sleeps where the batch came too fast."""

    def __init__(self) -> None:
        self._due = time.monotonic()

    @property
    def bounded(self) -> bool:
        """True where rows or bytes have a bound now."""
        return bounded()

    def batch_rows(self, default: int) -> int:
        """How many rows a batch should hold so that the pace can be kept smoothly."""
        pace = _pace.get()
        rows, _ = pace.rates() if pace else (0.0, 0.0)
        return max(1, min(default, int(rows * SLICE_SECONDS))) if rows else default

    def spend(self, rows: int, size_bytes: int) -> float:
        """Account for a batch; returns the seconds slept."""
        pace = _pace.get()
        if pace is None:
            return 0.0
        cost = share = 0.0
        slept = 0.0
        row_rate, byte_rate = pace.rates()
        cost = max(
            rows / row_rate if row_rate else 0.0, size_bytes / byte_rate if byte_rate else 0.0
        )
        self._due = max(self._due, time.monotonic() - BURST_SECONDS) + cost
        while (share := self._due - time.monotonic()) > 0:
            nap = min(share, SLICE_SECONDS)
            time.sleep(nap)
            slept += nap
            now_rows, now_bytes = pace.rates()
            if (now_rows, now_bytes) != (row_rate, byte_rate):
                # The rest of the debt is worth less, or more, at the new rate.
                left = self._due - time.monotonic()
                new = max(
                    rows / now_rows if now_rows else 0.0,
                    size_bytes / now_bytes if now_bytes else 0.0,
                )
                self._due = time.monotonic() + (left * new / cost if cost else 0.0)
                row_rate, byte_rate, cost = now_rows, now_bytes, new
        return slept
