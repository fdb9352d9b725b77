"""Servers that do nothing but send: syncmon's fan-out, raw Tornado, sse-starlette.

    python -m benchmarks.sse.peers syncmon|tornado|websocket|starlette|bare

``bare`` is no server but the floor below all of them: ``socket.send`` of the same bytes in a loop.

Each sends the same events to all clients. A JSON object a line on stdin tells what to send; the answer
says when and at what cost of processor time. Commands: ``send`` (events, seconds between), ``quit``.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tornado import httpserver, netutil, web, websocket

from syncmon_ext.api.sse_sockets import Sockets
from syncmon_ext.services import sse_event
from syncmon_ext.services.news import Page
from syncmon_ext.services.sse_channel import Channel, Feed, Reader, Scope
from syncmon_ext.services.sse_client import Client

Send = Callable[[bytes], Awaitable[object]]
ENTRY = (
    '[{"seq":%d,"task_id":"load","run_id":"0123456789abcdef0123456789abcdef",'
    '"time":"2026-01-01T00:00:00.000000Z","level":"info","unit":"flights",'
    '"message":"mark-%d- rows 100,000 to 200,000 of flights are committed"}]'
)


def tornado() -> tuple[httpserver.HTTPServer, Send]:
    """Each client has the event written and flushed, as Tornado's documentation does it."""
    clients: set[web.RequestHandler] = set()

    class Stream(web.RequestHandler):
        async def get(self) -> None:
            self.set_header("Content-Type", "text/event-stream")
            self.write(b": hello\n\n")
            await self.flush()
            clients.add(self)
            self.gone = asyncio.Event()
            await self.gone.wait()

        def on_connection_close(self) -> None:
            clients.discard(self)
            self.gone.set()

    async def send(data: bytes) -> None:
        frame = sse_event.event("log", data)
        for client in clients:
            client.write(frame)
            client.flush()

    return httpserver.HTTPServer(web.Application([("/", Stream)])), send


def web_socket() -> tuple[httpserver.HTTPServer, Send]:
    """Tornado's WebSocket, for the question why there is none."""
    clients: set[websocket.WebSocketHandler] = set()

    class Stream(websocket.WebSocketHandler):
        def open(self, *_: str, **__: str) -> None:
            clients.add(self)

        def on_close(self) -> None:
            clients.discard(self)

    async def send(data: bytes) -> None:
        for client in clients:
            client.write_message(data + b"\n")

    return httpserver.HTTPServer(web.Application([("/", Stream)])), send


def syncmon() -> tuple[httpserver.HTTPServer, Send]:
    """The extension's own channel, clients and sinks, without the store and Jupyter."""
    feed = Feed("load")
    feed.key, feed.version = "load0000", 0
    feed.progress = b"{}"
    reader = Reader(page=_nothing, progress=_nothing)
    channel = Channel(Scope(tasks=None), "0" * 32, {"load": feed}, reader)
    channel.listing = "0000"
    sockets = Sockets()

    serving: set[asyncio.Task[None]] = set()

    class Stream(web.RequestHandler):
        is_chunked = True
        username = "somebody"

        async def is_still_allowed(self) -> bool:
            return True

        async def get(self) -> None:
            self.set_header("Content-Type", "text/event-stream")
            self.write(b": hello\n\n")
            await self.flush()
            client = Client(channel, sockets.take(self, self.detach()), {}, Host())
            client.sink.when_closed(client.close)
            channel.clients.add(client)
            client.wake()

    class Host:
        def bring(self, client: Client) -> None:
            task = asyncio.create_task(client.catch_up())
            serving.add(task)
            task.add_done_callback(serving.discard)

        def part(self, client: Client) -> None:
            channel.clients.discard(client)

    async def send(data: bytes) -> None:
        seq, version = feed.seq, feed.version
        feed.seq, feed.version = seq + 1, version + 1
        publication = channel.publication(feed, Page(last=seq + 1, data=data), b"{}", seq, version)
        assert publication is not None
        await publication.deliver()

    return httpserver.HTTPServer(web.Application([("/", Stream)])), send


async def _nothing(*_: object) -> Any:
    raise RuntimeError("a client fell behind: send less at a time")


async def serve_tornado(make: Callable[[], tuple[httpserver.HTTPServer, Send]]) -> None:
    server, send = make()
    (listening,) = netutil.bind_sockets(0, "127.0.0.1", backlog=1_024)
    server.add_sockets([listening])
    await obey(listening.getsockname()[1], send)


async def serve_starlette() -> None:
    import uvicorn
    from sse_starlette import EventSourceResponse
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.routing import Route

    queues: set[asyncio.Queue[bytes]] = set()

    async def stream(_: Request) -> EventSourceResponse:
        async def events() -> Any:
            queue: asyncio.Queue[bytes] = asyncio.Queue()
            queues.add(queue)
            try:
                yield {"comment": "hello"}
                while True:
                    yield {"event": "log", "data": (await queue.get()).decode()}
            finally:
                queues.discard(queue)

        return EventSourceResponse(events())

    async def send(data: bytes) -> None:
        for queue in queues:
            queue.put_nowait(data)

    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(1_024)
    config = uvicorn.Config(Starlette(routes=[Route("/", stream)]), log_level="error")
    serving = asyncio.create_task(uvicorn.Server(config).serve([listening]))
    await obey(listening.getsockname()[1], send)
    serving.cancel()


async def serve_bare() -> None:
    """Answer each client with a head, then send: what the kernel and the reader cost by themselves."""
    loop = asyncio.get_running_loop()
    clients: list[socket.socket] = []
    listening = socket.create_server(("127.0.0.1", 0), backlog=1_024)
    listening.setblocking(False)

    async def accept() -> None:
        while True:
            client, _ = await loop.sock_accept(listening)
            await loop.sock_recv(client, 65_536)
            client.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hello\n\n")
            clients.append(client)

    async def send(data: bytes) -> None:
        frame = sse_event.event("log", data)
        for client in clients:
            client.send(frame)

    accepting = asyncio.create_task(accept())
    await obey(listening.getsockname()[1], send)
    accepting.cancel()


async def obey(port: int, send: Send) -> None:
    """Say the port, then do as told until the input ends."""
    commands: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def listen() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(commands.put_nowait, json.loads(line))
        loop.call_soon_threadsafe(commands.put_nowait, None)

    threading.Thread(target=listen, daemon=True).start()
    print(json.dumps({"port": port}), flush=True)
    while (command := await commands.get()) is not None:
        if command["do"] == "cpu":
            print(json.dumps({"cpu": time.process_time()}), flush=True)
            continue
        times = {}
        for number in range(command["first"], command["first"] + command["events"]):
            times[number] = time.monotonic()
            await send((ENTRY % (number, number)).encode())
            await asyncio.sleep(command["seconds"])
        print(json.dumps({"times": times}), flush=True)


if __name__ == "__main__":
    kind = sys.argv[1]
    others = {"starlette": serve_starlette, "bare": serve_bare}
    on_tornado = {"tornado": tornado, "syncmon": syncmon, "websocket": web_socket}
    asyncio.run(others[kind]() if kind in others else serve_tornado(on_tornado[kind]))
