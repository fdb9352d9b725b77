"""The doctor's look at streams, through proxies that pass them on, hold them or change them."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest

from syncmon_ext.cli import stream_probe
from syncmon_ext.cli.stream_probe import StreamProbe
from tests.api.conftest import make_server
from tests.cli.conftest import Place
from tests.cli.test_doctor import enable
from tests.server import JupyterServer

Manner = Literal["passes", "buffers", "compresses", "retypes", "refuses"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """A real server, which is asked through proxies."""
    with make_server(tmp_path_factory.mktemp("proxied")) as running:
        yield running


@contextmanager
def proxy(server: JupyterServer, manner: Manner) -> Iterator[str]:
    """The address of a proxy before the server, ending in a slash."""
    end = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers = {"Authorization": self.headers.get("Authorization", "")}
            url = f"http://127.0.0.1:{server.port}{self.path}"
            with httpx.stream("GET", url, headers=headers, timeout=30) as answer:
                streams = answer.headers["content-type"].startswith("text/event-stream")
                if not streams:
                    answer.read()
                    self.head(answer.status_code, answer.headers["content-type"])
                    self.wfile.write(answer.content)
                elif manner == "refuses":
                    self.head(502, "text/html")
                else:
                    self.head(
                        200,
                        "text/plain" if manner == "retypes" else answer.headers["content-type"],
                        "gzip" if manner == "compresses" else None,
                    )
                    if manner == "buffers":
                        end.wait(30)  # until so much has come that it is worth while
                    else:
                        self.wfile.write(next(answer.iter_raw()))

        def head(self, status: int, media: str, coding: str | None = None) -> None:
            self.send_response(status)
            self.send_header("Content-Type", media)
            if coding:
                self.send_header("Content-Encoding", coding)
            self.end_headers()
            self.wfile.flush()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    thread = threading.Thread(target=running.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{running.server_address[1]}/"
    finally:
        end.set()
        running.shutdown()
        thread.join()
        running.server_close()


def test_stream_of_a_server_is_well(server: JupyterServer) -> None:
    assert StreamProbe(server.url, server.token).trouble() is None


@pytest.mark.parametrize(
    ("manner", "words"),
    [
        ("passes", None),
        ("buffers", "something on the way buffers"),
        ("compresses", r"compresses the stream \(gzip\)"),
        ("retypes", "comes as text/plain"),
        ("refuses", "answered with 502"),
    ],
)
def test_what_stands_between_is_found(
    server: JupyterServer, manner: Manner, words: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_probe, "ANSWER_SECONDS", 1.0)
    with proxy(server, manner) as address:
        probe = StreamProbe(address, server.token)
        trouble = probe.trouble()
    if words is None:
        assert trouble is None
    else:
        assert re.search(words, trouble or "")
        assert "proxy_buffering off" in probe.hint
        assert "/api/v1/stream" in probe.hint


def test_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert "breaks off" in (StreamProbe("http://127.0.0.1:9/", "").trouble() or "")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://127.0.0.1:9/", "does not answer"),
        ("notaurl", "notaurl/ (does not answer|is no address)"),
        ("http://127.0.0.1:port/", "is no address"),
    ],
)
def test_doctor_finds_it_wrong_where_a_named_server_is_not_reached(
    place: Place, address: str, words: str
) -> None:
    enable(place)
    text = place.cli("doctor", "--through", address, code=1).stdout
    assert re.search(rf"✕ server .*{words}", text)


def test_doctor_finds_it_wrong_where_a_named_server_refuses(
    server: JupyterServer, place: Place
) -> None:
    enable(place)
    text = place.cli("doctor", "--through", server.url, code=1, SYNCMON_TOKEN="other").stdout
    assert re.search(rf"✕ server +{server.url} asks for a password", text)


def test_doctor_looks_through_the_address_of_a_browser(server: JupyterServer, place: Place) -> None:
    enable(place)
    with proxy(server, "buffers") as address:
        text = place.cli("doctor", "--through", address, code=1, SYNCMON_TOKEN=server.token).stdout
        assert re.search(rf"✓ server +{address} serves syncmon", text)
        assert re.search(rf"✕ stream +{address}: .*buffers", text)
    text = place.cli("doctor", SYNCMON_URL=server.url, SYNCMON_TOKEN=server.token).stdout
    assert re.search(rf"✓ stream +{server.url} sends events at once", text)
    assert server.token not in text
