"""The sockets of streams: taken over from Tornado, and looked after in turns of a bounded length.

asyncio calls back for every descriptor that is ready before it does anything else: thousands of clients
that hang up at once hold the event loop. Here they are one descriptor to it, an epoll of their own,
which stays readable while there is more to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import time
from typing import Final

from tornado import iostream

from syncmon_ext.api.sse_sink import LAST, UNASKED_BYTES, Reading, RequestSink, abort_on_close
from syncmon_ext.api.sse_stream_sink import StreamSink
from syncmon_ext.services.sse_client import Sink
from syncmon_ext.services.sse_event import Frame

TURN_SECONDS: Final = 0.005  # then the loop goes on with what else there is
TURN_EVENTS: Final = 100
READ_BYTES: Final = 65_536
_SUPPORTED: Final = hasattr(select, "epoll")
if _SUPPORTED:
    _HEARS: Final = select.EPOLLIN | select.EPOLLRDHUP
    _SENDS: Final = select.EPOLLOUT
    _GONE: Final = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR


class Sockets:
    """All clients of one event loop whose sockets are not Tornado's any more.

    There is a descriptor for them while there are any.
    """

    def __init__(self) -> None:
        self._sinks: dict[int, SocketSink] = {}
        self._epoll: select.epoll | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __len__(self) -> int:
        return len(self._sinks)

    def take(self, handler: Reading, stream: iostream.IOStream) -> Sink:
        """The sink of a connection, which leaves its stream unless only that can send.

        Call it on the event loop. Raises StreamClosedError where the client is gone already.
        """
        if stream.closed():
            raise iostream.StreamClosedError
        if not _SUPPORTED or isinstance(stream, iostream.SSLIOStream) or stream.writing():
            return StreamSink(handler, stream)
        try:
            own = stream.socket.dup()
        except OSError:  # no descriptor is left
            return StreamSink(handler, stream)
        sink = SocketSink(handler, own, self)
        try:
            self._add(own.fileno(), sink)
        except OSError:
            own.close()
            return StreamSink(handler, stream)
        stream.close()  # its descriptor: the connection lives on in the other one
        return sink

    def wait_for_room(self, number: int, wait: bool) -> None:
        """Whether to notice that the socket ``number`` takes more."""
        if self._epoll is not None:
            self._epoll.modify(number, _HEARS | _SENDS if wait else _HEARS)

    def forget(self, number: int) -> None:
        """Look after the socket ``number``, which is still open, no more."""
        del self._sinks[number]
        if self._epoll is None or self._loop is None:
            return
        self._epoll.unregister(number)
        if not self._sinks:
            if not self._loop.is_closed():
                self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = self._loop = None

    def close(self) -> None:
        """Let go of all that are left."""
        for sink in list(self._sinks.values()):
            sink.close()

    def _add(self, number: int, sink: SocketSink) -> None:
        if self._epoll is None:
            self._epoll = select.epoll()
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._epoll.fileno(), self._turn)
        self._epoll.register(number, _HEARS)
        self._sinks[number] = sink

    def _turn(self) -> None:
        """Serve those whose sockets have something to say, for a while."""
        if self._epoll is None:
            return
        until = time.perf_counter() + TURN_SECONDS
        for number, events in self._epoll.poll(0, TURN_EVENTS):
            sink = self._sinks.get(number)
            if sink is not None:  # it was not closed by what another one brought about
                sink.happened(events)
            if time.perf_counter() >= until:
                break  # what was not looked at is told again


class SocketSink(RequestSink):
    """A client's connection, taken over from Tornado once the headers are written.

    What Tornado keeps for a request under way is more than what a client costs that is only sent to.
    """

    __slots__ = ("_ready", "_rest", "_socket", "_sockets", "_unasked", "_waiting")

    def __init__(self, handler: Reading, own: socket.socket, sockets: Sockets) -> None:
        super().__init__(handler)
        self._socket: socket.socket | None = own
        self._sockets: Final = sockets
        self._ready = True
        self._rest: memoryview | None = None  # of one frame: nothing is sent before it is gone
        self._waiting: asyncio.Future[None] | None = None
        self._unasked = 0

    def ready(self) -> bool:
        """Whether the kernel has taken all that was sent."""
        return self._ready

    def send(self, frame: Frame) -> None:
        """Hand the bytes to the kernel, and keep what it does not take until it does."""
        if self._socket is None:
            return
        data = self._bytes(frame)
        try:
            taken = self._socket.send(data)
        except BlockingIOError:
            taken = 0
        except OSError:
            self._break()
            return
        if taken < len(data):
            self._ready = False
            self._rest = memoryview(data)[taken:]
            self._sockets.wait_for_room(self._socket.fileno(), True)

    async def drained(self) -> bool:
        """Wait until ready; False where the client is gone."""
        while self._socket is not None and not self._ready:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        return self._socket is not None

    def end(self) -> None:
        """End the body: what follows is no error to the client."""
        if self._chunked:
            self.send(LAST)

    def close(self) -> None:
        """Cut the connection; the kernel forgets at once what a client did not take."""
        own, self._socket = self._socket, None
        self._when_closed = None
        if own is None:
            return
        self._ready = False
        if self._rest is not None:
            self._rest = None
            abort_on_close(own)
        self._sockets.forget(own.fileno())
        own.close()
        self._wake()

    def happened(self, events: int) -> None:
        """Do what the socket's events call for."""
        if events & _GONE:
            self._leave()
            return
        if events & _SENDS:
            self._send_rest()
        if events & select.EPOLLIN and self._socket is not None:
            self._drop_unasked(self._socket)

    def _send_rest(self) -> None:
        if self._socket is None or self._rest is None:
            return
        try:
            self._rest = self._rest[self._socket.send(self._rest) :]
        except BlockingIOError:
            return
        except OSError:
            self._leave()
            return
        if not self._rest:
            self._rest = None
            self._ready = True
            self._sockets.wait_for_room(self._socket.fileno(), False)
            self._wake()

    def _drop_unasked(self, own: socket.socket) -> None:
        try:
            count = len(own.recv(READ_BYTES))
        except BlockingIOError:
            return
        except OSError:
            count = 0
        self._unasked += count
        if not count or self._unasked > UNASKED_BYTES:
            self._leave()

    def _break(self) -> None:
        """Make the connection one that is gone, which is told in its turn: not amid a send."""
        self._ready = False
        if self._socket is not None:
            with contextlib.suppress(OSError):  # it is disconnected
                self._socket.shutdown(socket.SHUT_RDWR)

    def _leave(self) -> None:
        tell = self._when_closed
        self.close()
        if tell is not None:
            tell()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)
