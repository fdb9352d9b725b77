"""Searches through a log, which may take long, keep nothing else waiting."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from syncmon_ext.app import SEARCH_THREADS, THREADS
from syncmon_ext.store.store import Store
from tests.api.conftest import make_server
from tests.server import JupyterServer
from tests.simulated import SimulatedRun

SEARCH_SECONDS = 3.0
# As in a log of ten million lines; each search leaves a line in a file.
LONG = """
import time
from syncmon_ext.store import log
find = log.newest_entries
def long(*args, contains=None, **options):
    if contains:
        with open({path!r}, "a") as file:
            file.write(contains + "\\n")
        time.sleep({seconds})
    return find(*args, contains=contains, **options)
log.newest_entries = long
"""


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    return tmp_path / "begun"


@pytest.fixture
def server(tmp_path: Path, begun: Path) -> Iterator[JupyterServer]:
    """A server whose searches take long, with a run under way."""
    begun.touch()
    config = LONG.format(path=str(begun), seconds=SEARCH_SECONDS)
    with make_server(tmp_path, config=config) as running:
        store = Store(running.store_url)
        SimulatedRun(store, "one").write("news")
        yield running
        store.close()


def until_begun(begun: Path, count: int) -> None:
    deadline = time.monotonic() + 30
    while len(begun.read_text().splitlines()) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_commands_are_answered_while_many_search(server: JupyterServer, begun: Path) -> None:
    with server.client() as client, ThreadPoolExecutor(2 * THREADS) as pool:

        def search(_: int) -> int:
            return client.get("tasks/one/logs?q=nothing").status_code

        searches = [pool.submit(search, number) for number in range(2 * THREADS)]
        until_begun(begun, SEARCH_THREADS)
        assert client.get("tasks/one/progress").status_code == 200
        assert client.get("tasks/one/logs").json()["logs"][0]["message"] == "news"
        assert client.post("tasks/one/pause").status_code == 202
        answered = sum(future.done() for future in searches)
        assert answered < len(searches), "nobody has waited for the searches"
        assert {future.result() for future in searches} == {200}


def test_nothing_is_searched_for_a_client_that_has_left(server: JupyterServer, begun: Path) -> None:
    with server.client() as client:
        for _ in range(SEARCH_THREADS + 4):
            with suppress(httpx.ReadTimeout):
                client.get("tasks/one/logs?q=left", timeout=0.3)
        assert client.get("tasks/one/logs?q=stays").status_code == 200
    assert begun.read_text().split() == ["left"] * SEARCH_THREADS + ["stays"]
    assert "Traceback" not in server.log.read_text()
