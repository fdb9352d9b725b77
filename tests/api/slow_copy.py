"""A real copy between SQLite files that takes its time, and the process that does it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from syncmon_ext.model.run import Owner
from syncmon_ext.store import runs
from syncmon_ext.store.store import Store

SLOW: dict[str, Any] = {
    "task_id": "slow",
    "source": "source",
    "target": "target",
    "tables": [{"name": "t", "target": "slow"}],
    "chunk_rows": 100,
    "throttle": {"rows": 300},
}


def fill(folder: Path, rows: int, tables: Sequence[str] = ("t",)) -> None:
    """Make the source's tables, of ``rows`` rows each."""
    with sqlite3.connect(folder / "source.db") as source:
        for table in tables:
            source.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, x TEXT)")
            source.executemany(
                f"INSERT INTO {table} VALUES (?, ?)", [(n, "x") for n in range(rows)]
            )
    source.close()


def owner_of(store: Store, run_id: str) -> Owner | None:
    """The worker's process, where the run has one."""
    with store.read() as connection:
        return runs.lease(connection, run_id).owner
