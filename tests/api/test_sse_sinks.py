"""The contract of all sinks, over real connections: a socket of our own, Tornado's stream, TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path

import pytest
from tornado import iostream

from syncmon_ext.api.sse_sink import UNASKED_BYTES
from syncmon_ext.api.sse_sockets import Sockets, SocketSink
from syncmon_ext.api.sse_stream_sink import StreamSink
from syncmon_ext.services.sse_client import Sink
from syncmon_ext.services.sse_event import Frame
from tests.certificate import client_context, server_context

ABORT = struct.pack("ii", 1, 0)
BIG = Frame(bytes(range(256)) * 40_000)  # more than two sockets hold


class Request:
    """What a sink asks of the request that it came with."""

    def __init__(self, is_chunked: bool = True) -> None:
        self.is_chunked = is_chunked
        self.username = "somebody"

    async def is_still_allowed(self) -> bool:
        return False


class Meeting:
    """A sink, and the client at the other end; what the client does blocks, in a thread."""

    def __init__(self, sink: Sink, client: socket.socket) -> None:
        self.sink, self.client = sink, client
        self.told = 0
        sink.when_closed(self.tell)

    def tell(self) -> None:
        self.told += 1

    async def receives(self, count: int | None = None) -> bytes:
        """What the client reads: ``count`` bytes, or all up to the end."""

        def read() -> bytes:
            found = bytearray()
            while count is None or len(found) < count:
                piece = self.client.recv(65_536)
                if not piece:
                    break
                found += piece
            return bytes(found)

        return await asyncio.to_thread(read)

    async def sends(self, data: bytes) -> None:
        await asyncio.to_thread(self.client.sendall, data)

    async def waits(self) -> asyncio.Future[bool]:
        """The sink's wait, already begun, for a client that has not read all it was sent."""
        self.sink.send(BIG)
        waiting = asyncio.ensure_future(self.sink.drained())
        await asyncio.sleep(0.01)
        return waiting

    async def is_told(self) -> None:
        await until(lambda: self.told > 0)
        assert not self.sink.ready()
        assert not await self.sink.drained()
        self.sink.close()
        await asyncio.sleep(0.01)
        assert self.told == 1


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.005)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(test(), 30)  # type: ignore[arg-type]

    asyncio.run(limited())


async def connection(folder: Path | None = None) -> tuple[iostream.IOStream, socket.socket]:
    """A server's stream, over TLS where there is a folder for a certificate, and its client."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname(), timeout=20)
        own, _ = listening.accept()
    for end in (client, own):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32_768)
    if folder is None:
        own.setblocking(False)
        return iostream.IOStream(own), client
    wrap = partial(client_context().wrap_socket, suppress_ragged_eofs=False)
    shaking = asyncio.create_task(asyncio.to_thread(wrap, client))  # waits for the other one
    wrapped = server_context(folder).wrap_socket(
        own, server_side=True, do_handshake_on_connect=False
    )
    wrapped.setblocking(False)
    stream = iostream.SSLIOStream(wrapped)
    await stream.wait_for_handshake()
    return stream, await shaking


Meet = Callable[..., "AsyncIterator[Meeting]"]


@pytest.fixture(params=["socket", "stream", "TLS"])
def meet(request: pytest.FixtureRequest, tmp_path: Path) -> Meet:
    """Opens a connection with each kind of sink."""

    @asynccontextmanager
    async def meeting(is_chunked: bool = True) -> AsyncIterator[Meeting]:
        stream, client = await connection(tmp_path if request.param == "TLS" else None)
        sink: Sink
        if request.param == "stream":
            sink = StreamSink(Request(is_chunked), stream)
        else:
            sink = Sockets().take(Request(is_chunked), stream)
            assert isinstance(sink, SocketSink if request.param == "socket" else StreamSink)
        try:
            yield Meeting(sink, client)
        finally:
            sink.close()
            client.close()

    return meeting  # type: ignore[return-value]


@pytest.mark.parametrize("is_chunked", [True, False])
def test_frames_arrive_in_order_and_end(meet: Meet, is_chunked: bool) -> None:
    frames = [Frame(b"event %d\n" % number) for number in range(100)]

    wanted = b"".join(frame.chunk if is_chunked else frame.data for frame in frames)
    wanted += b"0\r\n\r\n" if is_chunked else b""

    async def test() -> None:
        async with meet(is_chunked) as met:
            assert met.sink.ready()
            for frame in frames:
                assert await met.sink.drained()
                met.sink.send(frame)
            assert await met.sink.drained()
            met.sink.end()
            assert await met.sink.drained()
            met.sink.close()
            assert await met.receives(len(wanted)) == wanted
            # Tornado ends TLS without a word: the body has its own end.
            is_tls = isinstance(met.client, ssl.SSLSocket)
            with pytest.raises(ssl.SSLEOFError) if is_tls else nullcontext():
                assert await met.receives() == b""
        assert met.told == 0, "it did not leave by itself"

    run(test)


def test_rest_is_kept_and_delivered_before_what_follows(meet: Meet) -> None:
    async def test() -> None:
        async with meet() as met:
            met.sink.send(BIG)
            assert not met.sink.ready()
            waiting = asyncio.ensure_future(met.sink.drained())
            await asyncio.sleep(0.05)
            assert not waiting.done()
            reading = asyncio.ensure_future(met.receives(len(BIG.chunk)))
            assert await waiting
            assert met.sink.ready()
            last = Frame(b"and the next")
            met.sink.send(last)
            assert await reading + await met.receives(len(last.chunk)) == BIG.chunk + last.chunk

    run(test)


def test_wait_for_a_client_can_be_given_up_and_begun_again(meet: Meet) -> None:
    async def test() -> None:
        async with meet() as met:
            waiting = await met.waits()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            again = asyncio.ensure_future(met.sink.drained())
            await met.receives(len(BIG.chunk))
            assert await again

    run(test)


def test_client_that_hangs_up_is_told_of_once(meet: Meet) -> None:
    async def test() -> None:
        async with meet() as met:
            met.client.close()
            await met.is_told()

    run(test)


def test_client_that_resets_is_told_of_once_also_amid_a_rest(meet: Meet) -> None:
    async def test() -> None:
        async with meet() as met:
            waiting = await met.waits()
            met.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
            met.client.close()
            assert not await waiting
            await met.is_told()

    run(test)


def test_client_that_half_closes_is_gone(meet: Meet) -> None:
    async def test() -> None:
        async with meet() as met:
            await met.sends(b"some more that nobody asked for")
            met.client.shutdown(socket.SHUT_WR)
            await met.is_told()

    run(test)


def test_unasked_bytes_are_dropped_up_to_a_bound(meet: Meet) -> None:
    async def test() -> None:
        async with meet() as met:
            for _ in range(6):
                await met.sends(bytes(UNASKED_BYTES // 8))
            await asyncio.sleep(0.05)
            assert met.told == 0
            met.sink.send(Frame(b"still there"))
            assert await met.receives(1)
            with pytest.raises(OSError):  # reset, or broken pipe, by the moment
                for _ in range(1_000):
                    await met.sends(bytes(UNASKED_BYTES // 8))
            await met.is_told()

    run(test)


def test_close_drops_what_was_not_taken_and_tells_nobody(meet: Meet) -> None:
    async def test() -> None:
        async with meet() as met:
            waiting = await met.waits()
            met.sink.close()
            assert not await waiting
            assert not met.sink.ready()
            with pytest.raises((ConnectionResetError, ssl.SSLError)):
                await met.receives()
            met.sink.close()
            await asyncio.sleep(0.01)
            assert met.told == 0

    run(test)


def test_sink_says_who_reads_and_whether_they_still_may(meet: Meet) -> None:
    async def test() -> None:
        async with meet() as met:
            assert met.sink.user() == "somebody"
            assert not await met.sink.allowed()

    run(test)
