"""Many SSE clients in one process: they count events, and note when each numbered mark arrives.

    python -m benchmarks.sse.crowd    # one JSON object a line: what to do on stdin, the answer on stdout

Commands: ``connect`` (port, path, headers, count, deaf), ``count``, ``arrivals``, ``leave``, ``quit``.
"""

from __future__ import annotations

import json
import re
import select
import socket
import sys
import time
from typing import Any

MARK = re.compile(rb"mark-(\d+)-")
AT_A_TIME = 50  # connections that are on their way
MOST_READY = 256  # sockets that one look takes from
MOST_UNREAD = 20_000  # pieces that are kept before they are parsed


class Crowd:
    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.sockets: dict[int, socket.socket] = {}
        self.tails: dict[int, bytes] = {}
        self.deaf: list[socket.socket] = []
        self.events = self.greeted = self.lost = 0
        self.arrivals: list[tuple[int, float]] = []
        self.unread: list[tuple[int, float, bytes]] = []

    def connect(
        self, port: int, path: str, headers: dict[str, str], count: int, deaf: int = 0
    ) -> int:
        """Connect ``count`` readers and ``deaf`` clients that never read; how many are in."""
        lines = [
            f"GET {path} HTTP/1.1",
            "Host: 127.0.0.1",
            *(f"{k}: {v}" for k, v in headers.items()),
        ]
        request = ("\r\n".join(lines) + "\r\n\r\n").encode()
        for _ in range(deaf):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            client.connect(("127.0.0.1", port))
            client.sendall(request)
            self.deaf.append(client)
        wanted, asked = self.greeted + count, self.greeted
        deadline = time.monotonic() + 120
        while self.greeted < wanted and time.monotonic() < deadline:
            while asked < wanted and asked - self.greeted < AT_A_TIME:
                client = socket.create_connection(("127.0.0.1", port), timeout=60)
                client.sendall(request)
                client.setblocking(False)
                self.sockets[client.fileno()] = client
                self.epoll.register(client.fileno(), select.EPOLLIN)
                asked += 1
            self.read(0.01)
        return self.greeted

    def read(self, timeout: float) -> None:
        """Take what has arrived: note when, and look what it is while nothing else arrives.

        A reader that parsed each piece before it takes the next would measure itself.
        """
        ready = self.epoll.poll(0.0 if self.unread else timeout, MOST_READY)
        for number, _ in ready:
            client = self.sockets.get(number)
            if client is None:  # it left meanwhile
                continue
            try:
                data = client.recv(262_144)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            self.unread.append((number, time.monotonic(), data))
        if not ready or len(self.unread) > MOST_UNREAD:
            self.parse()

    def parse(self) -> None:
        """Count the events in what was taken."""
        unread, self.unread = self.unread, []
        for number, now, data in unread:
            if number not in self.sockets:
                continue
            if not data:
                self.lost += 1
                self._forget(number)
                continue
            if number not in self.tails:
                self.greeted += 1
            whole = self.tails.get(number, b"") + data
            end = whole.rfind(b"\n") + 1
            self.tails[number] = whole[end:]
            for found in MARK.finditer(whole, 0, end):
                self.events += 1
                self.arrivals.append((int(found[1]), now))

    def _forget(self, number: int) -> None:
        self.epoll.unregister(number)
        self.sockets.pop(number).close()

    def leave(self) -> None:
        """Hang up, all at once."""
        self.unread.clear()
        for number in list(self.sockets):
            self._forget(number)
        for client in self.deaf:
            client.close()
        self.deaf.clear()
        self.tails.clear()
        self.greeted = 0

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        """Do as told."""
        name = command.pop("do")
        self.parse()
        if name == "connect":
            return {"in": self.connect(**command)}
        if name == "arrivals":
            found, self.arrivals, self.events = self.arrivals, [], 0
            return {"arrivals": found, "lost": self.lost}
        if name == "leave":
            self.leave()
        return {"events": self.events}


def main() -> None:
    crowd = Crowd()
    crowd.epoll.register(sys.stdin.fileno(), select.EPOLLIN)
    crowd.sockets[sys.stdin.fileno()] = CommandLine(crowd)  # type: ignore[assignment]
    while True:
        crowd.read(1.0)


class CommandLine:
    """Standard input in the place of one more socket."""

    def __init__(self, crowd: Crowd) -> None:
        self.crowd = crowd

    def recv(self, _size: int) -> bytes:
        line = sys.stdin.readline()
        command = json.loads(line) if line else {"do": "quit"}
        if command["do"] == "quit":
            raise SystemExit
        number = sys.stdin.fileno()
        own = self.crowd.sockets.pop(number)
        self.crowd.epoll.unregister(number)
        print(json.dumps(self.crowd.answer(command)), flush=True)
        self.crowd.sockets[number] = own
        self.crowd.epoll.register(number, select.EPOLLIN)
        raise BlockingIOError


if __name__ == "__main__":
    main()
