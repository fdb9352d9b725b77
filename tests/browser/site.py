"""A Jupyter server with real tasks over real databases, and what a test asks it from outside."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

from syncmon_ext.store.store import Store
from tests.faults.harness import DDL, Side, made_rows
from tests.server import JupyterServer
from tests.workers import workers

T = TypeVar("T")

# Counts the streams that are open, from the server's side: a SharedWorker's requests are not
# visible from the page. One line for each that opens ("+") and closes ("-").
COUNT_STREAMS = """
from pathlib import Path
from syncmon_ext.api.sse_sockets import SocketSink
_begin, _close = SocketSink.__init__, SocketSink.close
def note(sign, handler):
    with Path({path!r}).open("a") as file:
        file.write(sign + " " + handler.request.uri + "\\n")
def begin(self, handler, *arguments):
    note("+", handler)
    _begin(self, handler, *arguments)
def close(self):
    if self._socket is not None:
        note("-", self._handler)
    _close(self)
SocketSink.__init__, SocketSink.close = begin, close
"""

# Nobody takes over runs that have no worker: they were only written down.
NO_TAKEOVER = """
from syncmon_ext.services.supervisor import Supervisor
Supervisor.check = lambda self: None
"""


def until(condition: Callable[[], T], what: str, seconds: float = 30) -> T:
    """Poll until ``condition`` gives something true, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"it never came true: {what}"
        time.sleep(0.03)
    return found


class Site:
    """A server below ``folder`` whose ``syncmon.toml`` defines ``tasks`` over ``connections``."""

    def __init__(
        self,
        folder: Path,
        connections: Mapping[str, str],
        tasks: Mapping[str, Mapping[str, Any]],
        *,
        push_interval: float = 0.2,
        takeover: bool = True,
        **options: Any,
    ) -> None:
        self.folder = folder
        self.config = folder / "syncmon.toml"
        self.streams = folder / "streams.txt"
        self.config.write_text(toml(connections, tasks))
        self.server = JupyterServer(
            folder,
            traits={
                "SyncmonApp.config_file": self.config,
                "SyncmonApp.push_interval": push_interval,
            },
            config=COUNT_STREAMS.format(path=str(self.streams)) + ("" if takeover else NO_TAKEOVER),
            **options,
        )

    def __enter__(self) -> Site:
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()
        for worker in self.workers():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)

    @property
    def page_url(self) -> str:
        """The page's address."""
        return f"{self.server.url}syncmon/"

    def call(self, method: str, path: str, **options: Any) -> Any:
        """The answer of a call of the API, parsed."""
        with self.server.client() as client:
            response = client.request(method, path, **options)
        assert response.is_success, response.text
        return response.json()

    def progress(self, task_id: str) -> dict[str, Any]:
        """A task's progress as REST tells it."""
        found: dict[str, Any] = self.call("GET", f"tasks/{task_id}/progress")
        return found

    def logs(self, task_id: str) -> list[dict[str, Any]]:
        """All that a task's log holds (of at most 1,000 entries)."""
        found: list[dict[str, Any]] = self.call("GET", f"tasks/{task_id}/logs?limit=1000")["logs"]
        return found

    def finish(self, task_id: str) -> None:
        """Bring a task to rest, whatever it does."""
        with self.server.client() as client:
            client.post(f"tasks/{task_id}/stop")
        at_rest = {"idle", "stopped", "completed", "failed"}
        until(lambda: self.progress(task_id)["state"] in at_rest, f"{task_id} at rest")

    def store(self) -> Store:
        """The server's store, opened by the test."""
        return Store(self.server.store_url)

    def workers(self) -> list[psutil.Process]:
        """The worker processes on this site's store, without the children that they made."""
        return workers(self.server.store_url)

    def open_streams(self) -> list[str]:
        """The addresses of the streams that are open now."""
        lines = self.streams.read_text().splitlines() if self.streams.exists() else []
        found: list[str] = []
        for line in lines:
            sign, uri = line.split(" ", 1)
            found.append(uri) if sign == "+" else found.remove(uri)
        return found

    def opened_streams(self) -> int:
        """How many streams were ever opened."""
        return self.streams.read_text().count("+ ") if self.streams.exists() else 0

    def signed_in(self) -> dict[str, str]:
        """The cookies of a browser that has signed in."""
        answer = httpx.get(f"{self.server.url}syncmon/", params={"token": self.server.token})
        return dict(answer.cookies)


def fill(source: Side, flights: int) -> None:
    """Make and fill the tables of the tests."""
    for table, rows in made_rows(flights).items():
        source.execute(DDL[table])
        if rows:
            marks = ", ".join("?" * len(rows[0]))
            source.execute(f"INSERT INTO {table} VALUES ({marks})", rows)


def fill_many(source: Side, tables: list[str], rows: int) -> None:
    """Make tables of ``rows`` rows each: copying them writes a log of some length."""
    for table in tables:
        source.execute(f"CREATE TABLE {table} (id BIGINT NOT NULL PRIMARY KEY, v TEXT)")
        values = [(number, f"{table} {number}") for number in range(rows)]
        source.execute(f"INSERT INTO {table} VALUES (?, ?)", values)


def assert_equal(source: Side, target: Side, tables: Iterable[str]) -> None:
    """Source and target hold the same rows."""
    for table in tables:
        assert source.content(table) == target.content(table), f"{table} differs"


def toml(connections: Mapping[str, str], tasks: Mapping[str, Mapping[str, Any]]) -> str:
    """A ``syncmon.toml`` with these connections (name → URL) and tasks."""
    lines = []
    for name, url in connections.items():
        lines += [f"[connections.{name}]", f"url = {json.dumps(url)}"]
    for task_id, fields in tasks.items():
        lines.append(f"[tasks.{task_id}]")
        lines += [f"{key} = {_value(value)}" for key, value in fields.items()]
    return "\n".join([*lines, ""])


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(item)}" for key, item in value.items()) + " }"
    return json.dumps(value)
