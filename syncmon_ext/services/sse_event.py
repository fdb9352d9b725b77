"""Server-sent events as bytes: the wire format of the WHATWG standard, and nothing else."""

from __future__ import annotations

from functools import cached_property
from typing import Final

RETRY_MS: Final = 1_000  # before a browser comes back by itself


class Frame:
    """Bytes that go to many clients, encoded once; ``chunk`` wraps them as an HTTP/1.1 chunk."""

    def __init__(self, data: bytes) -> None:
        self.data: Final = data

    @cached_property
    def chunk(self) -> bytes:
        """The bytes as one chunk of a chunked body (RFC 9112, 7.1)."""
        return b"%x\r\n%b\r\n" % (len(self.data), self.data)


def event(name: str, data: bytes, event_id: str | None = None) -> bytes:
    """One event. ``data`` is JSON: it holds no line break. An empty ``event_id`` clears the client's."""
    head = b"" if event_id is None else b"id: %b\n" % event_id.encode("ascii")
    return b"%bevent: %b\ndata: %b\n\n" % (head, name.encode("ascii"), data)


def comment(text: str = "") -> bytes:
    """A line that clients ignore: it keeps proxies from closing a silent connection."""
    return b": %b\n\n" % text.encode("ascii")


def retry(milliseconds: int = RETRY_MS) -> bytes:
    """How long a client waits before it comes back."""
    return b"retry: %d\n\n" % milliseconds
