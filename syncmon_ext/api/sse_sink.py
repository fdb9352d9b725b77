"""What the sinks of a stream have in common: the request that a client came with."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Final, Protocol

from syncmon_ext.services.sse_event import Frame

LAST: Final = Frame(b"")  # ends a chunked body (RFC 9112, 7.1)
UNASKED_BYTES: Final = 65_536  # that a client may send after its request
_ABORT: Final = struct.pack("ii", 1, 0)  # linger, for no time


class Reading(Protocol):
    """What a connection needs to know of the request that it came with."""

    @property
    def is_chunked(self) -> bool:
        """Whether the body goes in chunks, as in HTTP/1.1."""

    @property
    def username(self) -> str:
        """Who reads."""

    async def is_still_allowed(self) -> bool:
        """Whether they may still read."""


class RequestSink:
    """Who reads, in which framing, and whom to tell when they are gone."""

    __slots__ = ("_chunked", "_handler", "_when_closed")

    def __init__(self, handler: Reading) -> None:
        self._handler = handler
        self._chunked = handler.is_chunked
        self._when_closed: Callable[[], None] | None = None

    def user(self) -> str:
        """Who reads."""
        return self._handler.username

    async def allowed(self) -> bool:
        """Whether Jupyter would still let the user read."""
        return await self._handler.is_still_allowed()

    def when_closed(self, callback: Callable[[], None]) -> None:
        """Call ``callback``, once, when the client has gone; not when it is let go of."""
        self._when_closed = callback

    def _bytes(self, frame: Frame) -> bytes:
        """A frame as it goes over the wire: the same bytes for all clients, framed once."""
        return frame.chunk if self._chunked else frame.data


def abort_on_close(connection: socket.socket) -> None:
    """Have the kernel drop, when it is closed, what a connection has not sent."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
