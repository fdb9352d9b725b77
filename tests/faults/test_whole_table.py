"""A table of SQLite that is moved at once: killed in the middle, and held back in the middle."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest

from syncmon_ext.model.state import State
from syncmon_ext.model.task import Throttle
from syncmon_ext.sync.lease import process_of
from tests.faults.harness import Rig, rig

ROUTE = "sqlite-sqlite"
ROWS = 60_000  # more than a batch of small tables holds


@pytest.mark.parametrize("point", ["chunk.read", "chunk.written", "chunk.after_commit"])
def test_kill_leaves_all_of_it_or_nothing(
    point: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = tmp_path / "killed"
    monkeypatch.setenv("SYNCMON_FAULT", f"{point}:1:kill")
    monkeypatch.setenv("SYNCMON_FAULT_ONCE", str(killed))
    with rig(tmp_path, ROUTE, flights=ROWS, chunk_rows=None, tables=["flights"]) as it:
        it.control.start("nightly")
        final = it.until_ended()
        assert killed.exists()
        assert final.state is State.COMPLETED, it.messages()
        assert [unit.chunks_total for unit in final.units] == [1]
        assert it.source.content("flights") == it.target.content("flights")


def frozen_child(it: Rig) -> psutil.Process | None:
    owner = it.owner()
    process = None if owner is None else process_of(owner)
    for child in process.children(recursive=True) if process is not None else []:
        if child.status() == psutil.STATUS_STOPPED:
            return child
    return None


def test_bound_cuts_it_into_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNCMON_FAULT", "chunk.read:1:freeze")
    monkeypatch.setenv("SYNCMON_FAULT_ONCE", str(tmp_path / "frozen"))
    with rig(tmp_path, ROUTE, flights=ROWS, chunk_rows=None, tables=["flights"]) as it:
        it.control.start("nightly")
        it.until(lambda: frozen_child(it) is not None)
        it.control.set_throttle("nightly", Throttle(rows=1_000))
        child = frozen_child(it)
        assert child is not None
        then = it.progress().elapsed_seconds + 2.0  # by then a bound has reached the child
        it.until(lambda: it.progress().elapsed_seconds >= then)
        child.send_signal(signal.SIGCONT)
        it.until(lambda: it.progress().rows_committed > 0)
        assert it.progress().rows_committed < 10_000
        it.control.set_throttle("nightly", Throttle())
        final = it.until_ended()
        assert final.state is State.COMPLETED, it.messages()
        assert (final.units[0].chunks_total or 0) > 1
        assert it.source.content("flights") == it.target.content("flights")
