from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest

from syncmon_ext.services.holds import HOLD_SECONDS, PACKAGE, Cause, HoldMonitor, Holds

LONG = 0.3  # so that a busy machine lets the other thread look in time


def held_by(*calls: Callable[[], object]) -> Holds:
    """What is measured of a loop that makes the calls, each in a round of its own."""

    async def run() -> Holds:
        monitor = HoldMonitor()
        monitor.start(asyncio.get_running_loop())
        try:
            await asyncio.sleep(0.01)
            for call in calls:
                call()
                await asyncio.sleep(0.01)
            holds = monitor.holds
            assert holds is not None
            return holds
        finally:
            monitor.stop()

    return asyncio.run(run())


def nap() -> None:
    time.sleep(LONG)


def own_nap() -> Callable[[], None]:
    """A function whose code seems to lie in the package."""
    names: dict[str, Any] = {}
    text = f"import time\ndef own():\n    time.sleep({LONG})"
    exec(compile(text, f"{PACKAGE}made_up.py", "exec"), names)  # noqa: S102  # our own text
    found: Callable[[], None] = names["own"]
    return found


def test_rest_of_a_loop_is_no_hold() -> None:
    holds = held_by(lambda: None)
    assert holds.longest_seconds < LONG


def test_hold_is_measured_and_told_apart(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    holds = held_by(nap, own_nap(), nap)
    assert holds.longest_seconds >= LONG
    assert holds.counts[Cause.OTHER] >= 2
    assert holds.counts[Cause.SYNCMON] == 1
    (line,) = caplog.messages
    assert "made_up.py:3 own" in line
    assert "held for" in line


def test_collection_of_garbage_is_named() -> None:
    def slow(phase: str, info: dict[str, int]) -> None:
        if phase == "stop" and info["generation"] == 2:
            time.sleep(LONG)

    gc.callbacks.insert(0, slow)
    try:
        holds = held_by(gc.collect)
    finally:
        gc.callbacks.remove(slow)
    assert holds.counts[Cause.COLLECTION] == 1
    assert holds.counts[Cause.SYNCMON] == 0


def test_loop_is_left_as_it_was() -> None:
    async def run() -> None:
        loop = asyncio.get_running_loop()
        before, callbacks = dict(vars(loop._selector)), list(gc.callbacks)  # type: ignore[attr-defined]
        monitor = HoldMonitor()
        monitor.start(loop)
        await asyncio.sleep(0)
        assert vars(loop._selector) != before  # type: ignore[attr-defined]
        monitor.stop()
        assert vars(loop._selector) == before  # type: ignore[attr-defined]
        assert gc.callbacks == callbacks
        assert monitor.holds is None
        await asyncio.sleep(0)

    asyncio.run(run())


def test_loop_that_cannot_be_monitored_is_left_alone() -> None:
    class Other(asyncio.AbstractEventLoop):
        """A loop that has no selector."""

    monitor = HoldMonitor()
    monitor.start(Other())
    assert monitor.holds is None
    monitor.stop()
    assert HOLD_SECONDS < LONG
