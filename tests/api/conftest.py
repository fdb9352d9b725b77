from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from syncmon_ext.store.store import Store
from tests.server import JupyterServer
from tests.simulated import SimulatedRun

CONFIG = """
[connections.source]
url = "sqlite:///source.db"
[connections.target]
url = "sqlite:///target.db"
[connections.server]
url = "postgresql://etl@127.0.0.1:1/warehouse?application_name=x"
password = { env = "NO_SUCH_PASSWORD" }
[tasks.nightly]
source = "source"
target = "target"
tables = ["t"]
"""
RunOf = Callable[..., SimulatedRun]


def make_server(folder: Path, **options: Any) -> JupyterServer:
    """A server with the configuration above, which watches quickly."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "syncmon.toml").write_text(CONFIG)
    traits = {
        "SyncmonApp.config_file": folder / "syncmon.toml",
        "SyncmonApp.push_interval": 0.2,
        **options.pop("traits", {}),
    }
    return JupyterServer(folder, traits=traits, **options)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """A running server that the tests of a module share; each makes tasks of its own."""
    with make_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def client(server: JupyterServer) -> Iterator[httpx.Client]:
    """A client of the shared server."""
    with server.client() as opened:
        yield opened


@pytest.fixture
def store(server: JupyterServer) -> Iterator[Store]:
    """The shared server's store."""
    opened = Store(server.store_url)
    yield opened
    opened.close()


@pytest.fixture
def run_of(store: Store) -> RunOf:
    """Begins a simulated run of a new task."""

    def make(*tables: str, task_id: str | None = None) -> SimulatedRun:
        return SimulatedRun(store, task_id or f"task-{uuid.uuid4().hex[:8]}", tables or ("t",))

    return make
