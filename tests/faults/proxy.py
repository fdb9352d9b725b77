"""A TCP proxy before PostgreSQL that cuts the line where a test wants it: before the answer to a COMMIT
arrives, or in the middle of a result."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from sqlalchemy.engine import make_url

COMMIT_ANSWER = b"C\x00\x00\x00\x0bCOMMIT\x00"  # CommandComplete of the protocol, version 3


class Cut(NamedTuple):
    """Where lines are cut: in a transaction whose statements hold ``within``.

    Before the answer to its COMMIT, which the server has executed and the client will never hear of; or
    once ``answered`` bytes have come back after ``within`` was said. ``after`` such moments are let pass,
    then ``times`` of them are not.
    """

    within: bytes = b""
    answered: int | None = None
    after: int = 0
    times: int = 1


class _Line:
    """What one connection has said in its open transaction."""

    def __init__(self, cut: Cut) -> None:
        self._cut = cut
        self._tail = b""
        self.said = not cut.within
        self.answered = 0

    def hear(self, data: bytes) -> None:
        """Take what the client says."""
        if not self.said and self._cut.within in self._tail + data:
            self.said, self.answered = True, 0
        self._tail = data[-len(self._cut.within) :]

    def forget(self) -> None:
        """The transaction has ended."""
        self.said, self.answered, self._tail = not self._cut.within, 0, b""


class CuttingProxy:
    """Passes bytes between clients and the Unix socket of a server, and cuts lines as ``cut`` says."""

    def __init__(self, server: str, cut: Cut) -> None:
        self._server, self._cut = server, cut
        self._skip, self._left = cut.after, cut.times
        self.cuts = 0
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._server)
            threading.Thread(target=self._serve, args=(client, server), daemon=True).start()

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        line = _Line(self._cut)
        back = threading.Thread(target=self._answer, args=(server, client, line), daemon=True)
        with client, server:
            back.start()
            with suppress(OSError):
                while data := client.recv(65536):
                    line.hear(data)
                    server.sendall(data)
            _end(client, server)
            back.join()

    def _answer(self, server: socket.socket, client: socket.socket, line: _Line) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                line.answered += len(data)
                if line.said and self._is_there(data, line) and self._cuts():
                    if self._cut.answered is not None:
                        client.sendall(data[: len(data) // 2])
                    break
                if COMMIT_ANSWER in data:
                    line.forget()
                client.sendall(data)
        _end(client, server)

    def _is_there(self, data: bytes, line: _Line) -> bool:
        if self._cut.answered is None:
            return COMMIT_ANSWER in data
        return line.answered >= self._cut.answered

    def _cuts(self) -> bool:
        with self._lock:
            if self._left == 0:
                return False
            if self._skip > 0:
                self._skip -= 1
                return False
            self._left -= 1
            self.cuts += 1
            return True


def _end(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def cutting_proxy(url: str, cut: Cut) -> Iterator[tuple[CuttingProxy, str]]:
    """A proxy before the database of ``url``, whose server listens on a Unix socket; and the database's URL
    through it."""
    parsed = make_url(url)
    proxy = CuttingProxy(f"{parsed.query['host']}/.s.PGSQL.5432", cut)
    try:
        yield (
            proxy,
            f"postgresql://{parsed.username}@127.0.0.1:{proxy.port}/{parsed.database}?sslmode=disable",
        )
    finally:
        proxy.close()
