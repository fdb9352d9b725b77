"""A store that is locked, full or stopped for a while: the copy goes on, whoever asks is told, nothing is
missing afterwards."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import pytest

from syncmon_ext.model.errors import StoreUnavailable
from syncmon_ext.services.supervisor import Supervisor
from tests.api.conftest import make_server
from tests.databases import sqlite_url
from tests.disks import fill_up, mounted
from tests.faults.harness import Rig, rig
from tests.faults.own_server import OwnServer

SLOW = {"rows": 200}
LEASE_SECONDS = 5.0

Trouble = Callable[[Rig], AbstractContextManager[None]]


@contextmanager
def locked(it: Rig) -> Iterator[None]:
    holder = sqlite3.connect(it.store.url.database or "", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    yield
    holder.execute("ROLLBACK")
    holder.close()


@contextmanager
def full(it: Rig) -> Iterator[None]:
    filler = fill_up(Path(it.store.url.database or "").parent)
    yield
    filler.unlink()


@contextmanager
def rig_with_store_for(trouble: Trouble, tmp_path: Path) -> Iterator[Rig]:
    """A rig whose store is a file in a place of its own, small enough to be filled up if it must be."""
    folder = tmp_path / "place"
    with (
        mounted(folder, "8m") if trouble is full else nullcontext(folder.mkdir()),
        rig(tmp_path, "sqlite-sqlite", flights=8_000, throttle=SLOW) as it,
    ):
        it.use_store(sqlite_url(folder / "store.db"))
        yield it


def command(it: Rig, *words: str) -> subprocess.CompletedProcess[str]:
    """What a person at a terminal is told."""
    return subprocess.run(
        [sys.executable, "-m", "syncmon_ext.cli", *words],
        env={
            **os.environ,
            "SYNCMON_STORE": it.store.url.render_as_string(hide_password=False),
            "SYNCMON_CONFIG": str(it.folder / "syncmon.toml"),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def goes_on_through(
    it: Rig, trouble: Callable[[], AbstractContextManager[None]], told: str
) -> None:
    """The task is begun, the trouble comes and goes, and all is as if it had not been."""
    env = {"SYNCMON_STORE": it.store.url.render_as_string(hide_password=False)}
    with make_server(it.folder / "home", env=env) as jupyter, jupyter.client() as client:
        it.begin(100)
        assert client.get("tasks/nightly/progress").status_code == 200
        with trouble():
            before = len(it.target.checkpoints())
            deadline = time.monotonic() + 30
            while len(it.target.checkpoints()) < before + 3:
                assert time.monotonic() < deadline, "the copy waited for the store"
                time.sleep(0.05)
            with pytest.raises(StoreUnavailable):
                it.control.pause("nightly")
            done = command(it, "pause", "nightly")
            assert done.returncode == 1
            assert told in done.stderr
            assert "Traceback" not in done.stderr
            answer = client.post("tasks/nightly/pause")
            assert answer.status_code == 503, answer.text
            assert answer.json()["error"]["hint"]
        it.until(lambda: client.get("tasks/nightly/progress").status_code == 200, watch=False)
    assert "Traceback" not in jupyter.log.read_text()
    it.finish()
    assert any("completed: " in message for message in it.messages())
    assert not any("taken over" in message for message in it.messages())
    assert it.lease().token == 1, "one worker from the beginning to the end"


@pytest.mark.parametrize(
    ("trouble", "told"),
    [(locked, "locked"), (full, "full")],
    ids=["locked", "full"],
)
def test_file_in_trouble_holds_up_news_not_the_copy(
    trouble: Trouble, told: str, tmp_path: Path
) -> None:
    with rig_with_store_for(trouble, tmp_path) as it:
        goes_on_through(it, lambda: trouble(it), told)


@pytest.mark.parametrize("trouble", [locked, full])
def test_file_that_takes_no_writes_for_longer_than_a_lease_costs_no_worker_its_run(
    trouble: Trouble, tmp_path: Path
) -> None:
    """No heartbeat can be written then: a living worker is silent, too, and must not be ended for it."""
    with rig_with_store_for(trouble, tmp_path) as it:
        it.supervisor = observer = Supervisor(it.store, lease_seconds=LEASE_SECONDS)
        it.begin(100)
        refused = 0
        with trouble(it):
            back = time.monotonic() + 3 * LEASE_SECONDS
            while time.monotonic() < back:
                try:
                    observer.check()
                except StoreUnavailable:
                    refused += 1
                time.sleep(0.2)
        assert refused, "the observer has tried, and knows why nobody is heard"
        it.finish()
        assert not any("the worker is gone" in message for message in it.messages())
        assert it.lease().token == 1, "one worker from the beginning to the end"


def test_file_that_is_moved_away_for_a_while_is_not_made_anew(tmp_path: Path) -> None:
    home, away = tmp_path / "home", tmp_path / "away"
    home.mkdir()
    with rig(tmp_path, "sqlite-sqlite", flights=8_000, throttle=SLOW) as it:
        it.use_store(sqlite_url(home / "store.db"))
        it.begin(100)
        home.rename(away)
        home.mkdir()
        before = len(it.target.checkpoints())
        it.store.engine.dispose()
        with pytest.raises(StoreUnavailable) as told:
            it.progress()
        assert "put it back" in told.value.hint
        deadline = time.monotonic() + 30
        while len(it.target.checkpoints()) < before + 3:
            assert time.monotonic() < deadline, "the copy waited for the store"
            time.sleep(0.05)
        assert not list(home.iterdir())
        home.rmdir()
        away.rename(home)
        it.finish()
        assert any("completed: " in message for message in it.messages())
        assert not any("taken over" in message for message in it.messages())


def test_store_on_postgresql_that_is_stopped_holds_up_news_not_the_copy(
    tmp_path: Path, server: OwnServer
) -> None:
    @contextmanager
    def stopped() -> Iterator[None]:
        server.stop_immediately()
        yield
        server.start()

    with rig(tmp_path, "sqlite-sqlite", flights=8_000, throttle=SLOW) as it:
        it.use_store(server.database())
        goes_on_through(it, stopped, "store")


def test_outage_of_the_store_is_no_silence_of_the_worker(tmp_path: Path, server: OwnServer) -> None:
    """An observer that could not see the heartbeat for longer than a lease does not take the run over."""
    with rig(tmp_path, "sqlite-sqlite", flights=8_000, throttle=SLOW) as it:
        it.use_store(server.database())
        it.supervisor = observer = Supervisor(it.store, lease_seconds=LEASE_SECONDS)
        it.begin(100)
        server.stop_immediately()
        back = time.monotonic() + LEASE_SECONDS + 1.0
        while time.monotonic() < back:
            with pytest.raises(StoreUnavailable):
                observer.check()
            time.sleep(0.2)
        server.start()
        observer.check()
        it.finish()
        assert not any("the worker is gone" in message for message in it.messages())
