"""The round over all clients: heartbeats, clients that do not read, stays that are over."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

from syncmon_ext.services import sse_client, sse_event
from syncmon_ext.services.sse_client import Client
from syncmon_ext.services.sse_event import Frame
from syncmon_ext.services.sse_turns import in_turns

ROUND_SECONDS: Final = 1.0  # between two rounds
GRACE_SECONDS: Final = 30.0  # for a client whose stay is over to take what it lacks
BEAT: Final = Frame(sse_event.comment())


class Round:
    """Goes round the clients once in a while; called as often as one likes."""

    def __init__(self, clients: Callable[[], list[Client]], heartbeat: float) -> None:
        self.heartbeat = heartbeat
        self._clients = clients
        self._beat_at = self._went_at = 0.0
        self._checking: asyncio.Task[None] | None = None

    @property
    def seconds(self) -> float:
        """The time between two rounds."""
        return min(ROUND_SECONDS, self.heartbeat)

    async def go(self) -> None:
        """Go round, if it is time to."""
        now = time.monotonic()
        beats = now - self._beat_at >= self.heartbeat
        if not beats and now - self._went_at < self.seconds:
            return
        self._went_at = now
        if beats:
            self._beat_at = now
        to_check: list[Client] = []

        def visit(client: Client) -> None:
            if client.blocked(now) or now >= client.leave_at + GRACE_SECONDS:
                client.close()
                return
            if now >= client.leave_at and not client.leaving:
                client.leave()
            if now >= client.check_at:
                client.check_at = now + sse_client.CHECK_SECONDS
                to_check.append(client)
            if beats and client.sink.ready():
                client.sink.send(BEAT)

        await in_turns(self._clients(), visit)
        if to_check and (self._checking is None or self._checking.done()):
            self._checking = asyncio.create_task(_check(to_check))

    async def stop(self) -> None:
        """Check nobody any more."""
        if self._checking is not None:
            self._checking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._checking


async def _check(clients: list[Client]) -> None:
    """End the streams of users who may not read any more, one question at a time."""
    for client in clients:
        if not client.closed and not await client.sink.allowed():
            client.leave()
        await asyncio.sleep(0)
