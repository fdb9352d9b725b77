"""How long a stream lasts, and that nothing stays of it."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from unittest.mock import Mock

import httpx
import psutil

from syncmon_ext.services.sse_channel import Channel
from syncmon_ext.services.sse_client import Client, Host, Sink
from syncmon_ext.store.store import Store
from tests.api.conftest import make_server
from tests.server import JupyterServer
from tests.simulated import SimulatedRun
from tests.sse import opened, seqs

SHORT_STAYS = """
from syncmon_ext.services import sse_client
sse_client.STAY_SECONDS = (0.2, 0.6)
"""
RIGHTS_IN_A_FILE = """
from pathlib import Path
from jupyter_server.auth import Authorizer
from syncmon_ext.services import sse_client
sse_client.CHECK_SECONDS = 0.2
class OfAFile(Authorizer):
    def is_authorized(self, handler, user, action, resource):
        return not Path({path!r}).exists()
c.ServerApp.authorizer_class = OfAFile
"""
# Nothing is collected there: what is left of a client stays, and is counted when asked.
UNCOLLECTED = """
import gc, signal
from pathlib import Path
def count(*_, gc=gc, path=Path({path!r})):
    names = [type(found).__name__ for found in gc.get_objects()]
    left = sum(names.count(name) for name in ("TaskStreamHandler", "SocketSink", "Client"))
    path.with_suffix(".next").write_text(str(left))
    path.with_suffix(".next").rename(path)
gc.disable()
signal.signal(signal.SIGUSR2, count)
"""
KIB = 1_024


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_streams_rotate_and_go_on_without_gap(tmp_path: Path) -> None:
    with make_server(tmp_path, config=SHORT_STAYS) as server, server.client() as client:
        store = Store(server.store_url)
        run = SimulatedRun(store, "one")
        run.write("first")
        stop = threading.Event()

        def write() -> None:
            while not stop.wait(0.03):
                run.write("more")

        writer = threading.Thread(target=write)
        writer.start()
        seen: list[int] = []
        stays: list[float] = []
        last_id: str | None = None
        for turn in range(6):
            if turn == 3:
                stop.set()
                writer.join()
            began = time.monotonic()
            with opened(client, "tasks/one/stream", last_id) as reader:
                events = reader.rest()  # ends: httpx would complain of a body that is cut off
            stays.append(time.monotonic() - began)
            assert not {"end", "reset"} & {event.name for event in events}
            seen += seqs(events)
            last_id = reader.last_id
        store.close()
    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) > 10
    assert len({round(stay, 2) for stay in stays[:3]}) > 1, "not all at the same time"


def test_streams_leave_within_ten_minutes_and_not_together() -> None:
    began = time.monotonic()
    sink, channel = Mock(spec=Sink), Mock(spec=Channel)
    stays = [Client(channel, sink, {}, Mock(spec=Host)).leave_at - began for _ in range(500)]
    assert 60 < min(stays) < max(stays) <= 600 + (time.monotonic() - began)
    assert max(stays) - min(stays) > 60, "spread over minutes"


def test_streams_end_at_logout(server: JupyterServer, store: Store) -> None:
    with (
        httpx.Client(base_url=server.api, timeout=20) as person,
        httpx.Client(base_url=server.api, timeout=20) as other,
    ):
        for browser in (person, other):
            browser.get(f"{server.url}login?token={server.token}")
            assert browser.cookies, "logged in"
        with opened(person, "stream") as mine, opened(other, "stream") as theirs:
            mine.next("log")
            theirs.next("log")
            with httpx.Client(cookies=person.cookies) as second_tab:
                assert second_tab.get(f"{server.url}logout").status_code == 200
            began = time.monotonic()
            mine.rest()
            assert time.monotonic() - began < 2
            run = SimulatedRun(store, "after-logout")
            run.write("still told")
            told = theirs.until(lambda found: seqs(found, "after-logout") == [1])
            assert told[-1].name == "log", "who did not log out reads on"


def test_streams_end_when_the_right_to_read_does(tmp_path: Path) -> None:
    taken_away = tmp_path / "taken away"
    config = RIGHTS_IN_A_FILE.format(path=str(taken_away))
    with (
        make_server(tmp_path, config=config) as server,
        server.client() as client,
        opened(client, "stream") as reader,
    ):
        reader.next("log")
        time.sleep(0.5)  # some checks long, in which nothing may happen
        taken_away.touch()
        began = time.monotonic()
        reader.rest()
        assert time.monotonic() - began < 5
        assert client.get("stream").status_code == 403


def sockets_of(process: psutil.Process) -> int:
    count = 0
    for link in Path(f"/proc/{process.pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed since it was listed
            count += str(link.readlink()).startswith("socket:")
    return count


def visit(server: JupyterServer, count: int) -> list[socket.socket]:
    """Clients that have read the start of a stream."""
    request = (
        "GET /api/v1/tasks/one/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: token {server.token}\r\n\r\n"
    ).encode()
    clients = []
    for _ in range(count):
        client = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        client.sendall(request)
        clients.append(client)
    for client in clients:
        text = b""
        while b"event: log" not in text:
            text += client.recv(65_536)
    return clients


def test_clients_that_left_leave_nothing_behind(tmp_path: Path) -> None:
    count = 200
    left = tmp_path / "left"
    with make_server(tmp_path, config=UNCOLLECTED.format(path=str(left))) as server:

        def objects() -> int:
            left.unlink(missing_ok=True)
            process.send_signal(signal.SIGUSR2)
            until(left.exists)
            return int(left.read_text())

        assert server.process is not None
        store = Store(server.store_url)
        run = SimulatedRun(store, "one")
        run.write("one")
        process = psutil.Process(server.process.pid)
        memory = []
        for _ in range(6):
            sockets, threads = sockets_of(process), process.num_threads()
            clients = visit(server, count)
            assert sockets_of(process) >= sockets + count
            there = objects()
            run.write("more")
            crowded = process.memory_info().rss
            for client in clients:
                client.close()
            until(lambda sockets=sockets: sockets_of(process) <= sockets)
            memory.append(process.memory_info().rss)
        until(lambda: process.num_threads() <= threads)
        assert there >= 3 * count
        # No cycle of references is left to Python's collector; contexts of the hub hold one handler.
        until(lambda: objects() < count // 10)
        assert "Traceback" not in server.log.read_text()
        store.close()
    # An allocator may grow once more, by a mebibyte at a time; a client that stays costs 10 KiB, and what
    # leaks grows with every crowd.
    growth = [after - before for before, after in pairwise(memory[1:])]
    assert min(growth) < count * 5 * KIB, f"every crowd leaves something behind: {growth}"
    assert crowded < memory[-2] + count * 40 * KIB, "measured on a server that is warm"
