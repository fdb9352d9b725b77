"""Connections that are cut anywhere, and servers that are killed: no gap, no repeat, in order."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from syncmon_ext.store import tasks
from syncmon_ext.store.store import Store
from syncmon_widgets.stream import Parser
from tests.api.conftest import make_server
from tests.server import JupyterServer
from tests.simulated import SimulatedRun
from tests.sse import opened, seqs

WRITER = """
import sys, time
from pathlib import Path
from syncmon_ext.store.store import Store
from syncmon_ext.store import log
from syncmon_ext.store.log import NewEntry
from syncmon_ext.model.log import Level
store = Store(sys.argv[1])
number = 0
while not Path(sys.argv[3]).exists():
    number += 1
    with store.write() as connection:
        log.append(connection, sys.argv[2], None, [NewEntry(level=Level.INFO, message=f"line {number}")])
    time.sleep(0.005)
"""
LONG = os.environ.get("SYNCMON_FAULTS") == "long"


@pytest.mark.timeout(1_200)
def test_no_entry_is_lost_or_repeated_over_disconnects_and_kills(tmp_path: Path) -> None:
    """In the long form 1,000 disconnects and 20 killed servers, between events and within them."""
    disconnects_wanted, kill_every = (1_000, 50) if LONG else (40, 15)
    chance = random.Random(5)
    server = make_server(tmp_path, traits={"SyncmonApp.push_interval": 0.05})
    store = Store(server.store_url)
    server.start()
    SimulatedRun(store, "one")
    stop_file = tmp_path / "stop"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, server.store_url, "one", str(stop_file)], env=server.env
    )
    last_id: str | None = None
    seen: list[int] = []
    kills = 0
    try:
        for disconnects in range(1, disconnects_wanted + 1):
            events, last_id = read_a_while(server, "/api/v1/tasks/one/stream", last_id, chance)
            assert "reset" not in {name for name, _, _ in events}
            for name, data, _ in events:
                if name == "log":
                    seen += [entry["seq"] for entry in json.loads(data)]
            if not disconnects % kill_every:
                server.kill()
                server.start()
                kills += 1
        stop_file.touch()
        assert writer.wait(60) == 0
        with store.read() as connection:
            position = tasks.position(connection, "one")
        assert position is not None
        with server.client() as client, opened(client, "tasks/one/stream", last_id) as reader:
            if seen[-1] < position.log_seq:
                rest = reader.until(lambda found: seqs(found)[-1:] == [position.log_seq])
                seen += seqs(rest)
    finally:
        writer.kill()
        writer.wait()
        server.stop()
        store.close()
    assert seen == list(range(1, position.log_seq + 1))
    assert kills >= 2


def read_a_while(
    server: JupyterServer, path: str, last_id: str | None, chance: random.Random
) -> tuple[list[tuple[str, str, str]], str | None]:
    """The events of a connection that is cut somewhere, and the position to come back with."""
    parser = Parser(last_id or "")
    events: list[tuple[str, str, str]] = []
    wanted = chance.randint(1, 5)
    position = f"Last-Event-ID: {last_id}\r\n" if last_id else ""
    # HTTP/1.0: the body is not in chunks, so that any piece of it can be read.
    request = f"GET {path} HTTP/1.0\r\nAuthorization: token {server.token}\r\n{position}\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(request.encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(1)
        assert head.startswith(b"HTTP/1.1 200"), head
        while len(events) < wanted:
            piece = client.recv(chance.choice((1, 50, 300, 65_536)))
            assert piece, "the server ends no stream here"
            events += parser.feed(piece)
    return events, parser.last_event_id or last_id
