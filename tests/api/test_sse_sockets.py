"""The sockets of one event loop: served in turns, and gone with the last of them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from pathlib import Path

import pytest
from tornado import iostream

from syncmon_ext.api import sse_sockets
from syncmon_ext.api.sse_sockets import Sockets, SocketSink
from syncmon_ext.api.sse_stream_sink import StreamSink
from syncmon_ext.services.sse_event import Frame
from tests.api.test_sse_sinks import ABORT, Request, connection, run, until


def descriptors() -> set[str]:
    """What each open descriptor of this process refers to."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # of the listing itself
            found.add(f"{link.name} {link.readlink()}")
    return found


async def many(sockets: Sockets, count: int) -> tuple[list[SocketSink], list[socket.socket]]:
    sinks, clients = [], []
    for _ in range(count):
        stream, client = await connection()
        sink = sockets.take(Request(), stream)
        assert isinstance(sink, SocketSink)
        sinks.append(sink)
        clients.append(client)
    return sinks, clients


@pytest.mark.parametrize(
    ("bound", "value", "at_most"), [("TURN_EVENTS", 7, 7), ("TURN_SECONDS", 0.0, 1)]
)
@pytest.mark.parametrize("reset", [False, True], ids=["close", "reset"])
def test_loop_goes_on_while_many_hang_up(
    monkeypatch: pytest.MonkeyPatch, bound: str, value: float, at_most: int, reset: bool
) -> None:
    monkeypatch.setattr(sse_sockets, bound, value)
    count = 100

    async def test() -> None:
        loop = asyncio.get_running_loop()
        sockets = Sockets()
        sinks, clients = await many(sockets, count)
        rounds = 0
        left: Counter[int] = Counter()  # by the loop's round

        def go_round() -> None:
            nonlocal rounds
            rounds += 1
            if len(sockets):
                loop.call_soon(go_round)

        def leave() -> None:
            left[rounds] += 1

        for sink in sinks:
            sink.when_closed(leave)
        for client in clients:
            if reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
            client.close()
        loop.call_soon(go_round)
        await until(lambda: not len(sockets))
        assert sum(left.values()) == count
        assert max(left.values()) <= at_most
        assert len(left) >= count // at_most

    run(test)


def test_descriptor_is_closed_with_the_last_client_and_made_anew() -> None:
    sockets = Sockets()

    async def test() -> None:
        before = descriptors()
        for _ in range(2):
            sinks, clients = await many(sockets, 3)
            assert sum("eventpoll" in name for name in descriptors() - before) == 1
            sinks[0].close()
            clients[1].close()
            await until(lambda: len(sockets) == 1)
            sinks[2].send(Frame(b"still served"))
            assert clients[2].recv(100) == Frame(b"still served").chunk
            sockets.close()
            for client in clients:
                client.close()
            assert descriptors() == before

    run(test)  # each on a loop of its own
    run(test)


def test_connection_outlives_the_stream_that_it_came_with() -> None:
    async def test() -> None:
        sockets = Sockets()
        stream, client = await connection()
        told: list[int] = []
        stream.set_close_callback(lambda: told.append(1))
        stream.set_close_callback(None)  # as Tornado does when a handler detaches it
        sink = sockets.take(Request(), stream)
        assert stream.closed()
        await asyncio.sleep(0.02)
        sink.send(Frame(b"on"))
        assert client.recv(100) == Frame(b"on").chunk
        assert told == []
        sockets.close()
        client.close()

    run(test)


def test_client_that_left_before_it_was_taken_over_is_told_of() -> None:
    async def test() -> None:
        sockets = Sockets()
        stream, client = await connection()
        stream.close()
        client.close()
        with pytest.raises(iostream.StreamClosedError):
            sockets.take(Request(), stream)
        assert not len(sockets)

    run(test)


@pytest.mark.parametrize("what", ["dup", "epoll"])
def test_stream_serves_where_no_descriptor_is_left(
    monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(24, "Too many open files")

    async def test() -> None:
        sockets = Sockets()
        stream, client = await connection()
        before = descriptors()
        owner = socket.socket if what == "dup" else sse_sockets.select
        monkeypatch.setattr(owner, what, refuse)
        sink = sockets.take(Request(), stream)
        assert isinstance(sink, StreamSink)
        assert descriptors() == before
        sink.send(Frame(b"by the stream"))
        assert await asyncio.to_thread(client.recv, 100) == Frame(b"by the stream").chunk
        sink.close()
        client.close()

    run(test)


def test_send_that_fails_is_told_in_a_turn_of_its_own() -> None:
    async def test() -> None:
        sockets = Sockets()
        (sink,), (client,) = await many(sockets, 1)
        told: list[str] = []
        sink.when_closed(lambda: told.append("gone"))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
        client.close()
        sink.send(Frame(b"into nothing"))
        assert not sink.ready()
        assert told == []
        assert not await sink.drained()
        assert told == ["gone"]
        assert not len(sockets)

    run(test)


def test_one_that_leaves_may_let_go_of_all_others() -> None:
    async def test() -> None:
        sockets = Sockets()
        sinks, clients = await many(sockets, 20)
        told: list[int] = []

        def leave() -> None:
            told.append(1)
            sockets.close()

        for sink in sinks:
            sink.when_closed(leave)
        for client in clients:
            client.close()
        await until(lambda: not len(sockets))
        await asyncio.sleep(0.02)
        assert told == [1], "those that were let go of are not told of"

    run(test)


def test_callback_that_fails_keeps_no_socket() -> None:
    async def test() -> None:
        failures: list[object] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: failures.append(context["exception"])
        )
        sockets = Sockets()
        sinks, clients = await many(sockets, 3)

        def fail() -> None:
            raise ZeroDivisionError

        for sink in sinks:
            sink.when_closed(fail)
        for client in clients:
            client.close()
        await until(lambda: not len(sockets))
        assert [type(failure) for failure in failures] == [ZeroDivisionError] * 3

    run(test)
