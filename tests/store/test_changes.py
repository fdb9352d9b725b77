from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from syncmon_ext.store import changes as changes_module
from syncmon_ext.store.changes import Changes
from syncmon_ext.store.store import Store
from tests.databases import postgres_database, sqlite_url
from tests.simulated import SimulatedRun


@contextmanager
def waiting(store: Store) -> Iterator[Changes]:
    """What waits for the store, after its first look."""
    changes = Changes(store)
    assert changes.wait(threading.Event(), 0.0), "nobody knows what happened before"
    yield changes
    changes.close()


def test_sqlite_tells_commits_of_other_connections_and_nothing_else(tmp_path: Path) -> None:
    store = Store(sqlite_url(tmp_path / "store.db"))
    run = SimulatedRun(store, "one")
    stop = threading.Event()
    with waiting(store) as changes:
        assert not changes.wait(stop, 0.0)
        run.write("news")
        assert changes.wait(stop, 0.0)
        assert not changes.wait(stop, 0.0)
        with store.read() as connection:
            connection.exec_driver_sql("SELECT 1")
        assert not changes.wait(stop, 0.0), "reading is no change"
    store.close()


def test_postgresql_tells_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes_module, "POLL_SECONDS", 20.0)
    monkeypatch.setattr(changes_module, "TOLD_POLL_SECONDS", 20.0)
    with postgres_database() as url:
        store = Store(url)
        run = SimulatedRun(store, "one")
        stop, taken = threading.Event(), []
        with waiting(store) as changes:
            for write in (lambda: run.write("an entry"), lambda: run.commit("t", 5)) * 3:
                told: list[float] = []
                waiter = threading.Thread(
                    target=lambda told=told: (
                        changes.wait(stop, 0.0),
                        told.append(time.monotonic()),
                    )
                )
                waiter.start()
                write()
                committed = time.monotonic()
                waiter.join(10)
                assert told, "each kind of news is told"
                taken.append(told[0] - committed)
        store.close()
    assert min(taken) < 0.05


def test_postgresql_that_tells_nothing_is_polled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes_module, "POLL_SECONDS", 0.1)
    with postgres_database() as url:
        store = Store(url)
        with waiting(store) as changes:
            began = time.monotonic()
            assert changes.wait(threading.Event(), 0.0), "something may have happened"
            assert time.monotonic() - began < 5
        store.close()
