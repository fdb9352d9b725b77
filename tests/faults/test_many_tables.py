"""A task of many small tables, from end to end: 10,000 of them in ``make faults``."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest

from syncmon_ext.model.state import State
from syncmon_ext.sync.lease import process_of
from tests.faults.harness import Rig, side

LONG = os.environ.get("SYNCMON_FAULTS") == "long"
TABLES = 10_000 if LONG else 150
ROWS = 3
# Of the worker with its children. The plans of all tables are in its memory: 345 MiB were measured with
# 10,000 tables into SQLite, 440 into PostgreSQL.
PEAK_MIB = 512 if LONG else 300


def peak_mib(it: Rig, peak: float) -> float:
    """The memory of the worker's processes now, what they share counted once; or ``peak``."""
    owner = it.owner()
    worker = process_of(owner) if owner is not None else None
    if worker is None:
        return peak
    used = 0
    with suppress(psutil.Error):
        for process in (worker, *worker.children(recursive=True)):
            with suppress(psutil.Error):
                used += process.memory_full_info().pss
    return max(peak, used / 2**20)


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_task_of_many_tables_is_copied(
    kind: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    names = [f"t{number:05d}" for number in range(TABLES)]
    with closing(sqlite3.connect(tmp_path / "source.db")) as source, source:
        for number, name in enumerate(names):
            source.execute(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, v TEXT)")
            rows = [(n, f"{name} {n * number}") for n in range(ROWS)]
            source.executemany(f"INSERT INTO {name} VALUES (?, ?)", rows)
    with side("sqlite", tmp_path / "source.db") as origin, side(kind, tmp_path / "target.db") as to:
        it = Rig(tmp_path, origin, to, tables=names)
        began = time.monotonic()
        it.control.start("nightly")
        peak = 0.0
        while it.progress().state not in (State.COMPLETED, State.FAILED):
            peak = peak_mib(it, peak)
            it.supervisor.check()
            time.sleep(1.0 if LONG else 0.1)
        record_property("seconds", round(time.monotonic() - began, 1))
        record_property("peak_mib", round(peak))
        progress = it.progress()
        assert progress.state is State.COMPLETED, progress.error
        assert (progress.completed_tables, progress.rows_committed) == (TABLES, TABLES * ROWS)
        for number in range(0, TABLES, max(1, TABLES // 500)):
            assert to.content(names[number]) == origin.content(names[number])
        assert set(to.leftovers()) == set(names)
        assert 0 < peak < PEAK_MIB
        it.close()
