"""Many clients served in turns, so that the event loop is never held for long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

T = TypeVar("T")

HOLD_SECONDS: Final = 0.01  # then others have their turn: Jupyter's own requests above all
BETWEEN_CHECKS: Final = 32  # clients, each some microseconds


async def in_turns(
    items: Iterable[T], serve: Callable[[T], None], most: int | None = None
) -> float:
    """Call ``serve`` with each of ``items``; the seconds that this took of the event loop.

    ``most`` bounds a turn where the call only begins what the loop does next.
    """
    began = time.perf_counter()
    spent = 0.0
    for number, item in enumerate(items, 1):
        serve(item)
        full = most is not None and not number % most
        if full or (not number % BETWEEN_CHECKS and time.perf_counter() - began >= HOLD_SECONDS):
            spent += time.perf_counter() - began
            await asyncio.sleep(0)
            began = time.perf_counter()
    return spent + time.perf_counter() - began
