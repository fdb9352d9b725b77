"""A run that an older syncmon left half done: the store is migrated, and the run finishes."""

from __future__ import annotations

import json
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from syncmon_ext.model.state import State
from syncmon_ext.model.task import Throttle
from tests.databases import sqlite_url
from tests.faults.harness import rig

# What each schema added; taken away again, a store is one of the schema before.
ADDED = {
    "runs": ["webhooks", "announced"],
    "task_unit_runtimes": ["encoded", "encoded_revision"],
}
PREVIOUS = "0001"
NEW_FIELDS = ("on_finish",)  # of a task's spec


def take_back(path: Path) -> None:
    """Make the store what the previous schema's syncmon would have left."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DROP INDEX ix_task_unit_runtimes_run_id_unit_id")
        for table, columns in ADDED.items():
            for column in columns:
                connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        for run_id, spec in connection.execute("SELECT run_id, spec FROM runs").fetchall():
            fields = json.loads(spec)
            old = {name: value for name, value in fields.items() if name not in NEW_FIELDS}
            connection.execute(
                "UPDATE runs SET spec = ? WHERE run_id = ?", [json.dumps(old), run_id]
            )
        connection.execute("UPDATE alembic_version SET version_num = ?", [PREVIOUS])


@pytest.mark.parametrize("left", [State.RUNNING, State.PAUSED])
def test_half_done_run_of_the_previous_schema_finishes(left: State, tmp_path: Path) -> None:
    with rig(tmp_path, "sqlite-sqlite", flights=2_000, throttle={"rows": 800}) as it:
        it.control.start("nightly")
        it.until(lambda: it.progress().rows_committed > 300)
        if left is State.PAUSED:
            it.control.pause("nightly")
            it.until(lambda: it.progress().state is State.PAUSED)
            it.until(lambda: it.owner() is None)
        else:
            it.signal_worker(signal.SIGKILL)
        before = it.target.checkpoints()
        assert before
        it.store.close()
        take_back(tmp_path / "store.db")
        it.use_store(sqlite_url(tmp_path / "store.db"))
        assert (tmp_path / f"store.db.{PREVIOUS}.backup").exists()
        assert it.progress().state is left
        if left is State.PAUSED:
            it.control.start("nightly")
        it.until(lambda: len(it.target.checkpoints()) > len(before))
        assert before.items() <= it.target.checkpoints().items(), "committed chunks stay"
        it.control.set_throttle("nightly", Throttle())
        assert it.until_ended().state is State.COMPLETED, it.messages()
        it.assert_equal()
