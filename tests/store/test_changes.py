from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from syncmon_ext.store import changes as changes_module
from syncmon_ext.store.changes import Changes
from syncmon_ext.store.store import Store
from syncmon_ext.store.write_alarm import WriteAlarm
from tests.databases import postgres_database, sqlite_url
from tests.simulated import SimulatedRun

linux = pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere the file is asked all the time"
)


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


def seconds_until_told(changes: Changes, write: Callable[[], object], pause: float) -> float:
    """From a commit until a thread that waits with ``pause`` is told of it."""
    stop, told = threading.Event(), []

    def wait() -> None:
        while not changes.wait(stop, pause):
            assert not stop.is_set()
        told.append(time.monotonic())

    waiter = threading.Thread(target=wait)
    waiter.start()
    write()
    committed = time.monotonic()
    waiter.join(10)
    stop.set()
    assert told, "each commit is told"
    return told[0] - committed


@linux
def test_log_of_a_file_that_is_written_ends_the_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes_module, "LAST_LOOK_SECONDS", 20.0)
    place = tmp_path / "place"
    place.mkdir()
    (tmp_path / "link.db").symlink_to(place / "store.db")
    store = Store(sqlite_url(tmp_path / "link.db"))
    run = SimulatedRun(store, "one")
    with waiting(store) as changes:
        assert not changes.wait(threading.Event(), 20.0), "the alarm is set with the first wait"
        changes._look_in = 20.0  # as it is after a calm
        assert (
            min(seconds_until_told(changes, lambda: run.write("news"), 20.0) for _ in range(5)) < 1
        )
    store.close()


@linux
def test_commit_that_counts_after_its_last_write_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The alarm rings for what is written, and then the writer is held up before the commit counts."""
    store = Store(sqlite_url(tmp_path / "store.db"))
    run = SimulatedRun(store, "one")
    with waiting(store) as changes:
        run.write("rings")
        stop = threading.Event()
        while not changes.wait(stop, 1.0):
            pass
        assert changes._alarm is not None
        monkeypatch.setattr(changes._alarm, "wait", lambda seconds: stop.wait(seconds))
        assert seconds_until_told(changes, lambda: run.write("does not ring"), 1.0) < 5
    store.close()


def test_file_is_asked_all_the_time_where_nothing_rings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(path: Path) -> WriteAlarm:
        raise OSError(f"too many alarms, {path}")

    monkeypatch.setattr(changes_module, "WriteAlarm", cannot)
    store = Store(sqlite_url(tmp_path / "store.db"))
    run = SimulatedRun(store, "one")
    with waiting(store) as changes:
        assert seconds_until_told(changes, lambda: run.write("news"), 0.005) < 5
        began = time.monotonic()
        assert not changes.wait(threading.Event(), 0.005)
        assert time.monotonic() - began < changes_module.LAST_LOOK_SECONDS
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
