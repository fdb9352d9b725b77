"""Workers and servers that are frozen in the middle of a transaction, and thaw when they are not expected."""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text

from syncmon_ext.model.errors import StoreUnavailable
from syncmon_ext.model.state import State
from syncmon_ext.services.supervisor import Supervisor
from syncmon_ext.sync.lease import process_of
from tests.faults.harness import DDL, ROUTES, Rig, is_gone, rig

LONG = os.environ.get("SYNCMON_FAULTS") == "long"
LEASE_SECONDS = 5.0  # a worker has to begin within it, on a busy machine too


def group_of(it: Rig) -> list[psutil.Process]:
    """The worker and its children."""
    owner = it.owner()
    assert owner is not None
    worker = process_of(owner)
    assert worker is not None
    return [worker, *worker.children(recursive=True)]


def freeze(it: Rig) -> list[psutil.Process]:
    """Freeze the worker's processes, none of them in the midst of a transaction of the store."""
    while True:
        it.signal_worker(signal.SIGSTOP)
        with closing(sqlite3.connect(it.folder / "store.db", timeout=0.2)) as store:
            try:
                store.execute("BEGIN IMMEDIATE")
                return group_of(it)
            except sqlite3.OperationalError:
                group_of(it)[0].resume()


def thaw(group: list[psutil.Process]) -> None:
    """Let those go on that are still there; the worker finds out that the run is not its own."""
    for process in group:
        with suppress(psutil.NoSuchProcess):
            process.resume()


def freeze_with_open_transaction(
    it: Rig, point: str, monkeypatch: pytest.MonkeyPatch
) -> list[psutil.Process]:
    """Freeze the worker where a child of it has written a chunk and not committed it."""
    frozen = it.folder / "frozen"
    monkeypatch.setenv("SYNCMON_FAULT", f"{point}:freeze")
    monkeypatch.setenv("SYNCMON_FAULT_ONCE", str(frozen))
    it.control.start("nightly")
    it.until(frozen.exists, watch=False)
    group = freeze(it)
    # From now on nobody here can ask the system about the owner, nor end it.
    with it.store.write() as connection:
        connection.execute(text("UPDATE runs SET owner_host = 'another-host'"))
    return group


def take_over(it: Rig, old: psutil.Process) -> None:
    """Let an observer lose its patience, until another worker has the run."""
    impatient = Supervisor(it.store, lease_seconds=LEASE_SECONDS)

    def taken() -> bool:
        impatient.check()
        owner = it.owner()
        return owner is not None and owner.pid != old.pid

    it.until(taken, watch=False)


@pytest.mark.parametrize(
    "point", ["chunk.written:3", "chunk.before_commit:3", "swap.before_commit:1"]
)
@pytest.mark.parametrize("route", [r for r in ROUTES if r.endswith("postgresql")][not LONG :])
def test_transaction_that_was_open_when_the_run_was_taken_over_never_commits(
    route: str, point: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rig(tmp_path, route) as it:
        it.audit()
        group = freeze_with_open_transaction(it, point, monkeypatch)
        take_over(it, group[0])
        it.until(lambda: it.progress().state is State.COMPLETED)
        before = [it.target.content(table) for table in DDL]
        thaw(group)
        it.until(lambda: is_gone(group[0]), 30, watch=False)
        assert [it.target.content(t) for t in DDL] == before
        it.assert_equal()
        it.assert_each_chunk_copied_once()


@pytest.mark.parametrize("route", [r for r in ROUTES if r.endswith("sqlite")][: 2 if LONG else 1])
def test_frozen_writer_of_a_file_holds_the_next_one_up_until_it_thaws(
    route: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From another host nobody can end it, nor take the file's lock away: the new owner waits."""
    with rig(tmp_path, route) as it:
        it.audit()
        group = freeze_with_open_transaction(it, "chunk.before_commit:3", monkeypatch)
        take_over(it, group[0])
        it.until(lambda: it.progress().waiting_for == "warehouse", watch=False)
        thaw(group)
        it.until(lambda: is_gone(group[0]), 30, watch=False)
        it.until(lambda: it.progress().state is State.COMPLETED)
        it.assert_equal()
        it.assert_each_chunk_copied_once()


def test_frozen_writer_of_this_host_is_ended_before_its_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen = tmp_path / "frozen"
    monkeypatch.setenv("SYNCMON_FAULT", "chunk.before_commit:3:freeze")
    monkeypatch.setenv("SYNCMON_FAULT_ONCE", str(frozen))
    with rig(tmp_path, "sqlite-sqlite") as it:
        it.audit()
        it.control.start("nightly")
        it.until(frozen.exists, watch=False)
        group = freeze(it)
        take_over(it, group[0])
        it.until(lambda: all(map(is_gone, group)), watch=False)
        it.until(lambda: it.progress().state is State.COMPLETED)
        it.assert_equal()
        it.assert_each_chunk_copied_once()


def test_worker_that_is_frozen_with_the_lock_on_the_store_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen = tmp_path / "frozen"
    monkeypatch.setenv("SYNCMON_FAULT", "store.before_commit:2:freeze")
    monkeypatch.setenv("SYNCMON_FAULT_ONCE", str(frozen))
    with rig(tmp_path, "sqlite-sqlite", throttle={"rows": 1_000}) as it:
        it.control.start("nightly")
        it.until(frozen.exists, watch=False)
        with pytest.raises(StoreUnavailable, match="locked"), it.store.write():
            pass
        impatient = Supervisor(it.store, lease_seconds=LEASE_SECONDS)
        it.until(lambda: (impatient.check(), "the worker is gone" in it.messages())[1], watch=False)
        assert it.until_ended().state is State.COMPLETED
        it.assert_equal()
