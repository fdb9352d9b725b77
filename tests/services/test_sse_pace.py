from __future__ import annotations

import asyncio
import time

from syncmon_ext.services import sse_turns
from syncmon_ext.services.sse_pace import (
    FASTEST_LOOK_SECONDS,
    SLOWEST_LOOK_SECONDS,
    look_seconds,
    push_seconds,
)
from syncmon_ext.services.sse_turns import in_turns


def test_looks_are_fast_while_something_moves_and_slow_in_a_calm() -> None:
    assert look_seconds(0.0) == FASTEST_LOOK_SECONDS
    paces = [look_seconds(calm) for calm in (0.0, 1.0, 5.0, 60.0, 1e9)]
    assert paces == sorted(paces)
    assert paces[-1] == SLOWEST_LOOK_SECONDS


def test_pushes_are_never_faster_than_set_and_leave_the_loop_to_others() -> None:
    assert push_seconds(2.0, 0.0) == 2.0
    assert push_seconds(2.0, 0.3) == 2.0
    assert push_seconds(0.05, 0.2) == 0.8


def test_loop_is_free_between_turns() -> None:
    async def test() -> tuple[float, float, int]:
        served: list[int] = []
        longest, before = 0.0, time.perf_counter()

        async def others() -> None:
            nonlocal longest, before
            while len(served) < 1_000:
                await asyncio.sleep(0)
                longest, before = max(longest, time.perf_counter() - before), time.perf_counter()

        def serve(number: int) -> None:
            until = time.thread_time() + 0.000_1
            while time.thread_time() < until:
                pass
            served.append(number)

        other = asyncio.create_task(others())
        await asyncio.sleep(0)
        began = time.perf_counter()
        spent = await in_turns(range(1_000), serve)
        whole = time.perf_counter() - began
        await other
        assert served == list(range(1_000))
        assert 0.1 <= spent <= whole
        return longest, whole, len(served)

    longest, whole, _ = asyncio.run(test())
    assert longest < max(whole / 3, 10 * sse_turns.HOLD_SECONDS)
