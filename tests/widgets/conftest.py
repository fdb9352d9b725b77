from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from syncmon_widgets import reporter as reporters
from syncmon_widgets.direct import Direct
from syncmon_widgets.session import Session
from tests.api.conftest import make_server
from tests.databases import sqlite_url
from tests.server import JupyterServer

PATIENCE_SECONDS = 20.0
Settle = Callable[[], None]


def until(condition: Callable[[], Any]) -> Any:
    """Wait for something true, and give it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{condition} was never true"
        time.sleep(0.01)
    return found


def messages(session: Session, task_id: str) -> list[tuple[str, str]]:
    """Levels and messages of the task's log."""
    logs = session.task(task_id).logs()
    return list(zip(logs["level"], logs["message"], strict=True))


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    return sqlite_url(tmp_path / "store.db")


@pytest.fixture
def session(store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """A session on an empty store; loops of the test are reported to the same store."""
    monkeypatch.setenv("SYNCMON_STORE", store_url)
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "config"))
    line = Direct(store_url)
    mine = reporters.Reporter(lambda: line)
    monkeypatch.setattr(reporters, "_reporter", mine)
    with Session(line) as opened:
        yield opened
        mine.close()


@pytest.fixture
def settled(session: Session) -> Settle:
    """Wait until all that the loops have to say is in the store."""

    def settle() -> None:
        mine = reporters.reporter()
        until(lambda: not mine._known and not mine._new)

    return settle


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """A running server that the tests of a module share; each makes tasks of its own."""
    with make_server(tmp_path_factory.mktemp("server")) as running:
        yield running
