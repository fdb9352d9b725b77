"""A TCP proxy before PostgreSQL that can swallow the answer to a COMMIT and cut the line."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

COMMIT_ANSWER = b"C\x00\x00\x00\x0bCOMMIT\x00"  # CommandComplete of the protocol, version 3


class LossyProxy:
    """Passes bytes between a client and a Unix socket; ``lose_commits`` answers are lost."""

    def __init__(self, server: str, *, lose_commits: int, after: int) -> None:
        self._server = server
        self._left = lose_commits
        self._skip = after
        self.lost = 0
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
        back = threading.Thread(target=self._pump, args=(server, client, True), daemon=True)
        with client, server:
            back.start()
            self._pump(client, server, False)
            back.join()

    def _pump(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if answers and COMMIT_ANSWER in data and self._loses():
                    break  # the server has committed; the client will never hear it
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _loses(self) -> bool:
        with self._lock:
            if self._skip > 0:
                self._skip -= 1
                return False
            if self._left == 0:
                return False
            self._left -= 1
            self.lost += 1
            return True
