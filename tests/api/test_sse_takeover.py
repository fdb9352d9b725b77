"""The log of a run as a stream tells it, while one worker after the other is killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from syncmon_ext.store import log
from syncmon_ext.store.store import Store
from tests.api.conftest import make_server
from tests.api.slow_copy import SLOW, fill, owner_of
from tests.server import JupyterServer
from tests.sse import Event, entries, opened, seqs

SECONDS = 30.0
PATH = "tasks/slow/stream"
TABLES = [f"t{number:02}" for number in range(30)]


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.03)
    return found


def heard_by_one_who_stays(server: JupyterServer) -> list[Event]:
    """All events of one connection, up to the end of the run."""
    with server.client() as client, opened(client, PATH) as reader:
        return reader.rest()


def heard_by_one_who_comes_back(server: JupyterServer) -> list[Event]:
    """The same from many connections: each is closed after one log event, until there is no more."""
    events: list[Event] = []
    last_id: str | None = None
    deadline = time.monotonic() + SECONDS
    with server.client() as client:
        while True:
            assert time.monotonic() < deadline, "it is never told that there is no more"
            with opened(client, PATH, last_id) as reader:
                if reader.response.status_code == 204:
                    return events
                events += reader.until(lambda found: found[-1].name == "log")
                last_id = reader.last_id


def kill_worker(client: httpx.Client, store: Store, run_id: str) -> None:
    """Kill the worker, once it has committed rows of its own."""
    began = client.get("tasks/slow/progress").json()["rows_committed"]
    owner = until(lambda: owner_of(store, run_id))
    until(lambda: client.get("tasks/slow/progress").json()["rows_committed"] > began + 200)
    os.killpg(owner.pid, signal.SIGKILL)
    until(lambda: (taken := owner_of(store, run_id)) and taken.pid != owner.pid)


def test_log_is_told_whole_and_in_order_while_workers_are_killed(tmp_path: Path) -> None:
    fill(tmp_path, 100, TABLES)
    with (
        ThreadPoolExecutor(2) as pool,  # left last: a server that stops ends what is read
        make_server(tmp_path) as server,
        server.client() as client,
    ):
        store = Store(server.store_url)
        client.post("tasks", json={**SLOW, "tables": TABLES}).raise_for_status()
        run_id = client.post("tasks/slow/start").raise_for_status().json()["run_id"]
        readers = [
            pool.submit(read, server)
            for read in (heard_by_one_who_stays, heard_by_one_who_comes_back)
        ]
        for _ in range(2):
            kill_worker(client, store, run_id)
        client.patch("tasks/slow/throttle", json={"rows": None}).raise_for_status()
        heard = [reader.result(SECONDS) for reader in readers]
        with store.read() as connection:
            kept = log.newest_entries(connection, "slow", 1_000)
        store.close()
    messages = [entry.message for entry in kept]
    assert messages.count("the worker is gone") == 2
    assert len(messages) > len(TABLES)
    for events in heard:
        assert "reset" not in {event.name for event in events}
        assert seqs(events) == list(range(1, len(kept) + 1))
        assert [entry["message"] for entry in entries(events)] == messages
