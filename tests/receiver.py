"""A real receiver of webhooks."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """An HTTP server that notes what it is told; ``answers`` are its statuses, the last one stays."""

    def __init__(self, *answers: int) -> None:
        self.told: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.silent = threading.Event()  # set: it answers nothing
        self.ended = threading.Event()
        receiver, left = self, list(answers or (204,))

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.told.append((self.path, dict(self.headers), json.loads(body)))
                if receiver.silent.is_set():
                    receiver.ended.wait(60)
                    return
                self.send_response(left[0] if len(left) == 1 else left.pop(0))
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @contextmanager
    def serving(self) -> Iterator[Receiver]:
        """Take what is sent, within the block."""
        self._thread.start()
        try:
            yield self
        finally:
            self.ended.set()
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    def bodies(self) -> list[dict[str, Any]]:
        """What it was told."""
        return [body for _, _, body in self.told]
