"""A client of a stream: what it lacks, and the one writer that brings it up to date."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from syncmon_ext.services.sse_event import Frame

if TYPE_CHECKING:
    from syncmon_ext.services.sse_channel import Channel

BLOCKED_SECONDS: Final = 15.0  # after a write first blocked a client is given up
STAY_SECONDS: Final = (420.0, 570.0)  # then a client comes back, within 10 min, not all at a time
CHECK_SECONDS: Final = 60.0  # between two looks whether the user may still read


class Sink(Protocol):
    """Where a client's bytes go."""

    def ready(self) -> bool:
        """Whether all that was sent has left, so that more will not pile up."""

    def send(self, frame: Frame) -> None:
        """Send without waiting; call it only when ready."""

    def user(self) -> str:
        """Who reads."""

    async def allowed(self) -> bool:
        """Whether the user may still read."""

    async def drained(self) -> bool:
        """Wait until ready; False where the client is gone."""

    def end(self) -> None:
        """Say that nothing more will come; call it only when ready."""

    def close(self) -> None:
        """Let go of the client; what has not left is dropped."""

    def when_closed(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` when the client has gone."""


class Host(Protocol):
    """Who serves clients."""

    def bring(self, client: Client) -> None:
        """Bring a client up to date, in a task that ends when it is."""

    def part(self, client: Client) -> None:
        """Forget a client whose stream is over."""


class Lack:
    """What a client lacks of one task: entries after ``seq``, and progress newer than ``version``."""

    __slots__ = ("seq", "version")

    def __init__(self, seq: int, version: int = -1) -> None:
        self.seq = seq
        self.version = version


class Client:
    """One connection. While ``live`` it is handed each frame; otherwise a task brings it up to date.

    Its memory is bounded: a client that does not read keeps one number per task that it lacks. One
    that is live has no task: most clients are, most of the time.
    """

    __slots__ = (
        "_host",
        "blocked_since",
        "busy",
        "channel",
        "check_at",
        "closed",
        "lacks",
        "leave_at",
        "leaving",
        "listing",
        "live",
        "positioned",
        "sink",
    )

    def __init__(self, channel: Channel, sink: Sink, lacks: dict[str, Lack], host: Host) -> None:
        self.channel = channel
        self.sink = sink
        self.lacks = lacks
        self._host = host
        self.live = False
        self.busy = False  # while a task brings it up to date
        self.closed = False
        self.positioned = False  # whether the client holds an id
        self.listing = False  # whether it must be told that the list of tasks changed
        self.blocked_since: float | None = None
        self.leaving = False
        began = time.monotonic()
        self.leave_at = began + random.uniform(*STAY_SECONDS)  # noqa: S311  # spreads, keeps no secret
        self.check_at = began + random.uniform(0.5, 1.0) * CHECK_SECONDS  # noqa: S311  # likewise

    def hand(self, frame: Frame) -> bool:
        """Send a frame if the client is live and reads; False: it misses it, and is to be told so."""
        sink = self.sink
        if self.live and sink.ready():
            sink.send(frame)
            return True
        return False

    def miss(self, task_id: str, seq: int, version: int) -> None:
        """Note that news of a task are lacking, behind ``seq`` and ``version``."""
        if task_id not in self.lacks:
            self.lacks[task_id] = Lack(seq, version)
        self.wake()

    def miss_listing(self) -> None:
        """Note that the list of tasks changed."""
        self.listing = True
        self.wake()

    def wake(self) -> None:
        """Look again what is lacking, or whether the stream is over."""
        self.live = False
        if not self.busy:
            self.busy = True
            self._host.bring(self)

    def leave(self) -> None:
        """End the stream cleanly, after what is lacking; the client may come back and go on."""
        self.leaving = True
        self.wake()

    def close(self) -> None:
        """End the stream now."""
        self.closed = True
        self.live = False
        self.sink.close()
        if not self.busy:
            self._host.part(self)

    def blocked(self, now: float) -> bool:
        """Whether a write has been blocked for too long."""
        if self.sink.ready():
            self.blocked_since = None
            return False
        if self.blocked_since is None:
            self.blocked_since = now
        return now - self.blocked_since >= BLOCKED_SECONDS

    async def catch_up(self) -> bool:
        """Send what is lacking until the client is live; True where the stream is over instead."""
        while not self.closed and await self.sink.drained():
            frame = await self.channel.next_frame(self)
            if self.closed:
                break
            if frame is not None:
                self.sink.send(frame)
                continue
            # Nothing is lacking, and nothing was awaited since that was seen: frames are handed now.
            if self.channel.over:
                end = await self.channel.end_frame()
                if end is None or self.closed:
                    continue
                self.sink.send(end)
                break
            if self.leaving:
                break
            self.lacks = {}  # an emptied one keeps the size that it had
            self.busy, self.live = False, True
            return False
        return True
