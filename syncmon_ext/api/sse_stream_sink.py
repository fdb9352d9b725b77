"""A client's connection that only Tornado can send over: TLS, and systems without epoll."""

from __future__ import annotations

import asyncio
from typing import Final

from tornado import iostream
from tornado.concurrent import Future

from syncmon_ext.api.sse_sink import LAST, UNASKED_BYTES, Reading, RequestSink, abort_on_close
from syncmon_ext.services.sse_event import Frame


class StreamSink(RequestSink):
    """Sends by Tornado's stream, which encrypts where the connection does, and keeps what waits."""

    __slots__ = ("_sent", "_stream")

    def __init__(self, handler: Reading, stream: iostream.IOStream) -> None:
        super().__init__(handler)
        self._stream: Final = stream
        self._sent: Future[None] | None = None
        stream.max_buffer_size = UNASKED_BYTES
        stream.set_close_callback(self._gone)
        # A stream that reads nothing does not notice the end behind bytes that nobody asked for.
        stream.read_until_close()

    def ready(self) -> bool:
        """Whether the kernel has taken all that was sent."""
        return not self._stream.closed() and not self._stream.writing()

    def send(self, frame: Frame) -> None:
        """Hand the bytes to the stream, which sends what it can at once."""
        try:
            self._sent = self._stream.write(self._bytes(frame))
        except iostream.StreamClosedError:
            self._sent = None

    async def drained(self) -> bool:
        """Wait until ready; False where the client is gone."""
        if self._sent is not None and self._stream.writing():
            try:
                await asyncio.shield(self._sent)
            except iostream.StreamClosedError:
                return False
        return not self._stream.closed()

    def end(self) -> None:
        """End the body: what follows is no error to the client."""
        if self._chunked:
            self.send(LAST)

    def close(self) -> None:
        """Cut the connection; the kernel forgets at once what a client did not take."""
        self._when_closed = None
        if self._stream.writing() and not self._stream.closed():
            abort_on_close(self._stream.socket)
        self._stream.close()

    def _gone(self) -> None:
        tell, self._when_closed = self._when_closed, None
        if tell is not None:
            tell()
