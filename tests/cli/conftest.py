from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil
import pytest

from syncmon_ext.model.progress import Progress
from syncmon_ext.model.state import ACTIVE, State
from syncmon_ext.services.catalog import Catalog
from syncmon_ext.services.configuration import Configuration
from syncmon_ext.services.task_progress import TaskProgress
from syncmon_ext.store import runs
from syncmon_ext.store.store import Store
from syncmon_ext.sync import lease

ROOT = Path(__file__).parents[2]
SECONDS = 90.0  # the longest that anything here may take

CONFIG = """
[connections.flights]
url = "sqlite:///flights.db"
[connections.copy]
url = "sqlite:///copy.db"

[tasks.nightly]
source = "flights"
target = "copy"
tables = ["airlines", "planes"]

[tasks.slow]
source = "flights"
target = "copy"
tables = [{ name = "planes", target = "slow_planes" }]
throttle = { rows = 300 }
chunk_rows = 200
"""
ROWS = {"airlines": 3, "planes": 20_000}


def until(condition: Callable[[], object], what: str) -> None:
    """Wait until ``condition`` holds; fail after the deadline."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited too long: {what}"
        time.sleep(0.05)


@dataclass
class Place:
    """A folder with a configuration, a source, and a store of its own."""

    folder: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def store_url(self) -> str:
        return f"sqlite:///{self.folder}/store.db"

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SYNCMON", "JUPYTER"))}
        paths = [str(ROOT), str(ROOT / "widgets"), kept.get("PYTHONPATH", "")]
        return {
            **kept,
            "PYTHONPATH": os.pathsep.join(path for path in paths if path),
            "PYTHONWARNINGS": "error::ResourceWarning",
            "SYNCMON_STORE": self.store_url,
            "SYNCMON_WORKER_LOGS": str(self.folder / "workers"),
            "JUPYTER_CONFIG_DIR": str(self.folder / "jupyter"),
            "JUPYTER_DATA_DIR": str(self.folder / "data"),
            "JUPYTER_RUNTIME_DIR": str(self.folder / "runtime"),
        }

    def arguments(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "syncmon_ext.cli", *words]

    def cli(self, *words: str, code: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, and expect its exit code; never a traceback."""
        done = subprocess.run(
            self.arguments(*words),
            cwd=self.folder,
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert "Traceback" not in done.stderr + done.stdout, done.stderr
        assert done.returncode == code, (done.stdout, done.stderr)
        return done

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Begin a command; what it prints is read by the test."""
        process = subprocess.Popen(
            self.arguments(*words),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # A shell that runs the tests in the background lets them ignore Ctrl-C, and what they begin too.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )
        self.started.append(process)
        return process

    def progress(self, task: str) -> Progress:
        """How far a task is, as another program sees it."""
        store = Store(self.store_url)
        try:
            catalog = Catalog(store, Configuration(self.folder / "syncmon.toml"))
            return TaskProgress(store, catalog).progress(task)
        finally:
            store.close()

    def worker(self, task: str) -> psutil.Process:
        """The process that works on a task."""
        run_id = self.progress(task).run_id
        assert run_id is not None
        store = Store(self.store_url)
        with store.read() as connection:
            owner = runs.lease(connection, run_id).owner
        store.close()
        assert owner is not None
        found = lease.process_of(owner)
        assert found is not None
        return found

    def hurry(self, task: str) -> None:
        """Take the throttle off, of the task and of its run."""
        config = self.folder / "syncmon.toml"
        config.write_text(config.read_text().replace("throttle = { rows = 300 }\n", ""))
        run_id = self.progress(task).run_id
        assert run_id is not None
        store = Store(self.store_url)
        with store.write() as connection:
            runs.set_throttle(connection, run_id, None)
        store.close()

    def wait_for(self, task: str, state: State, rows: int = 0) -> None:
        until(
            lambda: (found := self.progress(task)).state is state and found.rows_committed >= rows,
            f"{task} {state} with {rows} rows",
        )

    def rows(self, database: str, table: str) -> list[tuple[object, ...]]:
        """The contents of a table, in order."""
        with closing(sqlite3.connect(self.folder / database)) as connection:
            return connection.execute(f'SELECT * FROM "{table}" ORDER BY 1').fetchall()

    def end(self) -> None:
        """End what the test started and what still works for it."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
            if process.stdout is not None and not process.stdout.closed:
                process.communicate()
        if (self.folder / "store.db").exists():
            try:
                store = Store(self.store_url)
            except Exception:  # a test may have broken it
                return
            with store.read() as connection:
                held = [found for _, found in runs.runs_in(connection, ACTIVE)]
            store.close()
            for found in held:
                if found.owner is not None and (alive := lease.process_of(found.owner)):
                    alive.send_signal(signal.SIGKILL)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A folder with two tables to copy."""
    made = Place(tmp_path)
    (tmp_path / "syncmon.toml").write_text(CONFIG)
    with closing(sqlite3.connect(tmp_path / "flights.db")) as source:
        source.execute("CREATE TABLE airlines (carrier TEXT NOT NULL PRIMARY KEY, name TEXT)")
        source.execute("CREATE TABLE planes (id INTEGER PRIMARY KEY, model TEXT, weight REAL)")
        source.executemany(
            "INSERT INTO airlines VALUES (?, ?)", [("AA", "American"), ("B6", None), ("UA", "")]
        )
        source.executemany(
            "INSERT INTO planes VALUES (?, ?, ?)",
            [(n, f"model '{n}'\n", n / 7) for n in range(1, ROWS["planes"] + 1)],
        )
        source.commit()
    yield made
    made.end()


@pytest.fixture
def same(place: Place) -> Callable[[str, str], bool]:
    """Whether a table of the copy equals one of the source, by content."""
    return lambda table, target: (
        len(rows := place.rows("flights.db", table)) == ROWS[table]
        and rows == place.rows("copy.db", target)
    )
