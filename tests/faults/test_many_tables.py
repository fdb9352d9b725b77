"""A task of many small tables, from end to end: 10,000 of them in ``make faults``."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from syncmon_ext.model.state import State
from tests.faults.harness import Rig, Side, side
from tests.faults.memory import peak_mib

LONG = os.environ.get("SYNCMON_FAULTS") == "long"
TABLES = 10_000 if LONG else 150
ROWS = 3
PEAK_MIB = 300  # of the worker with its children, the plans of all tables among it


def content(of: Side, names: list[str]) -> dict[str, list[str]]:
    """The rows of every table, hundreds of tables a question."""
    found: dict[str, list[str]] = {name: [] for name in names}
    for start in range(0, len(names), 400):
        asked = (f"SELECT '{name}', id, v FROM {name}" for name in names[start : start + 400])
        for name, *row in of.execute(" UNION ALL ".join(asked)):
            found[name].append(repr(row))
    return {name: sorted(rows) for name, rows in found.items()}


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
            time.sleep(0.3 if LONG else 0.1)
        record_property("seconds", round(time.monotonic() - began, 1))
        record_property("peak_mib", round(peak))
        progress = it.progress()
        assert progress.state is State.COMPLETED, progress.error
        assert (progress.completed_tables, progress.rows_committed) == (TABLES, TABLES * ROWS)
        assert content(to, names) == content(origin, names)
        assert set(to.leftovers()) == set(names)
        assert 0 < peak < PEAK_MIB
        it.close()
