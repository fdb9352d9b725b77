"""A real task over real databases, whose workers the tests kill, freeze and resume."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg

from syncmon_ext.model.connection import Connection
from syncmon_ext.model.progress import Progress
from syncmon_ext.model.run import Lease, Owner
from syncmon_ext.model.state import ENDED, State
from syncmon_ext.model.task import Throttle
from syncmon_ext.services.catalog import Catalog
from syncmon_ext.services.configuration import Configuration
from syncmon_ext.services.supervisor import Supervisor
from syncmon_ext.services.task_control import TaskControl
from syncmon_ext.store import log, runs, snapshots, tasks
from syncmon_ext.store.store import Store
from syncmon_ext.sync import ledger
from syncmon_ext.sync.databases import sessions
from syncmon_ext.sync.lease import process_of
from tests.databases import postgres_database, sqlite_url

Rows = list[tuple[Any, ...]]
ROUTES = ("sqlite-sqlite", "sqlite-postgresql", "postgresql-sqlite", "postgresql-postgresql")
DDL = {
    "carriers": "CREATE TABLE carriers (code VARCHAR(8) NOT NULL PRIMARY KEY, name TEXT)",
    "flights": "CREATE TABLE flights (id BIGINT NOT NULL PRIMARY KEY, code VARCHAR(8), delay "
    "DOUBLE PRECISION, note TEXT)",
    "empty": "CREATE TABLE empty (id BIGINT NOT NULL PRIMARY KEY, v TEXT)",
    "legs": "CREATE TABLE legs (code VARCHAR(8) NOT NULL, leg BIGINT NOT NULL, note TEXT, "
    "PRIMARY KEY (code, leg))",
}
# Legs of each code: chunks of a hundred rows end behind a code where it has one leg, within it where more.
LEGS = [1] * 130 + [2, 3] * 20 + [150] + [1] * 60
# Every committed copy of a chunk leaves a row: in the chunk's own transaction, and nothing removes it.
AUDIT = "copied_chunks"
AUDITS = {
    "sqlite": [
        f"CREATE TABLE {AUDIT} (unit_id text, low_key text, high_key text, n int)",
        *(
            f"CREATE TRIGGER note_{event} AFTER {event} ON _syncmon_checkpoints WHEN NEW.rows > 0 "
            f"BEGIN INSERT INTO {AUDIT} VALUES (NEW.unit_id, NEW.low_key, NEW.high_key, NEW.rows); END"
            for event in ("INSERT", "UPDATE")
        ),
    ],
    "postgresql": [
        f"CREATE TABLE {AUDIT} (unit_id text, low_key text, high_key text, n int)",
        "CREATE FUNCTION note_chunk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"INSERT INTO public.{AUDIT} VALUES (NEW.unit_id, NEW.low_key, NEW.high_key, NEW.rows); "
        "RETURN NEW; END $$",
        "CREATE TRIGGER note_chunk AFTER INSERT OR UPDATE ON _syncmon.checkpoints "
        "FOR EACH ROW WHEN (NEW.rows > 0) EXECUTE FUNCTION note_chunk()",
    ],
}


def made_rows(flights: int, seed: int = 1) -> dict[str, Rows]:
    """Content with gaps in the keys, NULLs, quotes, newlines and more than ASCII."""
    random_numbers = random.Random(seed)
    notes = [None, "", "it's", 'a "quote"', "line\nbreak", "tab\there", "ünï ✈", "\\N", "x" * 300]
    key = -50
    rows: Rows = []
    for _ in range(flights):
        key += random_numbers.randint(1, 5)
        delay = random_numbers.choice([None, random_numbers.uniform(-50, 500), 0.1])
        rows.append((key, f"C{key % 40}", delay, random_numbers.choice(notes)))
    return {
        "carriers": [(f"C{i}", f"Carrier {i}") for i in range(40)],
        "flights": rows,
        "empty": [],
        "legs": [
            (f"L{number:03d}", leg, f"{number}/{leg}")
            for number, legs in enumerate(LEGS)
            for leg in range(legs)
        ],
    }


ROWS = sum(map(len, made_rows(1_500).values()))  # of the tables of a rig


def is_gone(process: psutil.Process) -> bool:
    """Whether a process has ended, though nobody may have asked how."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE or not process.is_running()
    except psutil.NoSuchProcess:
        return True


class Side:
    """One database: a SQLite file or a PostgreSQL database."""

    def __init__(self, kind: str, url: str) -> None:
        self.kind = kind
        self.url = url

    def execute(self, statement: str, rows: Rows | None = None) -> Rows:
        """Run a statement, or one for each of ``rows``; the rows it gives."""
        if self.kind == "sqlite":
            connection = sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=20)
            try:
                if rows is not None:
                    connection.executemany(statement, rows)
                    found: Rows = []
                else:
                    found = connection.execute(statement).fetchall()
                connection.commit()
            finally:
                connection.close()
            return found
        with psycopg.connect(self.url, autocommit=True) as session, session.cursor() as cursor:
            if rows is not None:
                cursor.executemany(statement.replace("?", "%s"), rows)
                return []
            cursor.execute(statement)  # type: ignore[arg-type]  # statements of the tests
            return cursor.fetchall() if cursor.description else []

    def content(self, table: str) -> list[str]:
        """Every row with its types, in an order of its own."""
        return sorted(repr(row) for row in self.execute(f"SELECT * FROM {table}"))

    def checkpoints(self) -> dict[tuple[str, str, str], Any]:
        """The committed chunks, each with the transaction or row that wrote it."""
        mark, table = (
            ("rowid", "_syncmon_checkpoints")
            if self.kind == "sqlite"
            else ("xmin::text", "_syncmon.checkpoints")
        )
        rows = self.execute(f"SELECT unit_id, low_key, high_key, {mark}, rows FROM {table}")
        return {row[:3]: row[3:] for row in rows}

    def leftovers(self) -> list[str]:
        """Tables that are neither the task's nor syncmon's own."""
        rows = self.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
            if self.kind == "sqlite"
            else "SELECT tablename FROM pg_tables WHERE schemaname NOT IN "
            "('pg_catalog', 'information_schema')"
        )
        own = {"fences", "units", "checkpoints", "watermarks", "rejects", "version", AUDIT}
        names = {str(row[0]).removeprefix("_syncmon_") for row in rows}
        return sorted(names - own - set(DDL))


@contextmanager
def side(kind: str, path: Path) -> Iterator[Side]:
    """A new database of a kind."""
    if kind == "sqlite":
        yield Side(kind, sqlite_url(path))
    else:
        with postgres_database(path.stem.replace(".", "_")) as url:
            yield Side(kind, url)


class Rig:
    """A store, a task over two databases, and the hands of a person."""

    def __init__(self, folder: Path, source: Side, target: Side, **options: Any) -> None:
        self.source, self.target, self.folder = source, target, folder
        cursors = {"carriers": "code", "flights": "id", "empty": "id", "legs": "leg"}
        tables: list[Any] = list(cursors)
        if options.get("mode") == "incremental":
            tables = [{"name": name, "cursor": column} for name, column in cursors.items()]
        fields = {"tables": tables, "mode": "replace", "workers": 2, "chunk_rows": 100, **options}
        said = {key: value for key, value in fields.items() if value is not None}
        toml = "\n".join(f"{key} = {_toml(value)}" for key, value in said.items())
        (folder / "syncmon.toml").write_text(
            f'[connections.flights]\nurl = "{source.url}"\n'
            f'[connections.warehouse]\nurl = "{target.url}"\n'
            f'[tasks.nightly]\nsource = "flights"\ntarget = "warehouse"\n'
            f"{toml}\n"
        )
        self._open(sqlite_url(folder / "store.db"))

    def _open(self, store_url: str) -> None:
        self.store = Store(store_url)
        self.catalog = Catalog(self.store, Configuration(self.folder / "syncmon.toml"))
        self.supervisor = Supervisor(self.store)
        self.control = TaskControl(self.store, self.catalog, self.supervisor)

    def use_store(self, url: str) -> None:
        """Keep the runs in another store."""
        self.store.close()
        self._open(url)

    def fill(self, flights: int = 1_500) -> None:
        """Make the source's tables."""
        for table, rows in made_rows(flights).items():
            self.source.execute(DDL[table])
            if rows:
                marks = ", ".join("?" * len(rows[0]))
                self.source.execute(f"INSERT INTO {table} VALUES ({marks})", rows)

    def make_old_target(self, *, rows: bool = True) -> None:
        """The target's tables, with some of the flights as they were before."""
        for statement in DDL.values():
            self.target.execute(statement)
        if rows:
            old = [(row[0], row[1], None, "old") for row in made_rows(300)["flights"]]
            self.target.execute("INSERT INTO flights VALUES (?, ?, ?, ?)", old)

    def audit(self) -> None:
        """Note every chunk that is committed in the target, from now on."""
        target = Connection(name="warehouse", url=self.target.url)
        session = sessions.connect(target, "syncmon/test")
        with session.transaction():
            ledger.create(session)
        session.close()
        for statement in AUDITS[self.target.kind]:
            self.target.execute(statement)

    def assert_each_chunk_copied_once(self) -> None:
        """No range was committed twice, and all together they are the source's rows."""
        noted = self.target.execute(f"SELECT unit_id, low_key, high_key, n FROM {AUDIT}")
        ranges = [row[:3] for row in noted]
        twice = {each for each in ranges if ranges.count(each) > 1}
        assert not twice, "a committed chunk was copied a second time"
        for table in DDL:
            found = self.source.execute(f"SELECT count(*) FROM {table}")[0][0]
            assert sum(row[3] for row in noted if row[0] == table) == found

    def progress(self) -> Progress:
        """The task's progress now."""
        with self.store.read() as connection:
            position = tasks.position(connection, "nightly")
            assert position is not None
            assert position.run_id is not None
            progress = snapshots.run_progress(
                connection, self.catalog.task("nightly"), position.run_id
            )
        assert progress is not None
        return progress

    def messages(self) -> list[str]:
        """The task's log."""
        with self.store.read() as connection:
            entries = log.newest_entries(connection, "nightly", 1000)
        assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
        return [entry.message for entry in entries]

    def lease(self) -> Lease:
        """Who holds the newest run."""
        run_id = self.progress().run_id
        assert run_id is not None
        with self.store.read() as connection:
            return runs.lease(connection, run_id)

    def owner(self) -> Owner | None:
        """The worker's process."""
        return self.lease().owner

    def signal_worker(self, number: signal.Signals) -> bool:
        """Send a signal to the worker's process group; False where there is none."""
        owner = self.owner()
        if owner is not None:
            with suppress(ProcessLookupError):
                os.killpg(owner.pid, number)
                return True
        return False

    def until_worker_is_gone(self) -> None:
        """Wait until the process that owns the run has ended."""
        owner = self.owner()
        self.until(lambda: owner is None or process_of(owner) is None, watch=False)

    def until(self, condition: Callable[[], bool], seconds: float = 60, watch: bool = True) -> None:
        """Wait for a condition; ``watch`` takes over lost runs meanwhile, as a server would."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"it never came true; state {self.progress().state}, log {self.messages()}"
                )
            if watch:
                self.supervisor.check()
            time.sleep(0.03)

    def begin(self, rows: int = 300) -> None:
        """Start the task, and wait until it is under way."""
        self.control.start("nightly")
        self.until(lambda: self.progress().rows_committed > rows)

    def finish(self) -> None:
        """Take the throttle off, and have the run come to a good end."""
        self.control.set_throttle("nightly", Throttle())
        assert self.until_ended().state is State.COMPLETED, self.messages()
        self.assert_equal()

    def until_ended(self, seconds: float = 90) -> Progress:
        """Wait until the run has ended, resuming it whenever its worker is lost."""
        self.until(lambda: self.progress().state in {*ENDED, State.PAUSED}, seconds)
        return self.progress()

    def assert_equal(self) -> None:
        """Source and target hold the same rows, and the target nothing else."""
        for table in DDL:
            source, target = self.source.content(table), self.target.content(table)
            assert source == target, f"{table} differs"
        self.until(lambda: self.target.leftovers() == [], 10)
        self.until(lambda: self.target.checkpoints() == {}, 10)

    def close(self) -> None:
        """Leave no process behind."""
        with suppress(AssertionError):
            self.signal_worker(signal.SIGKILL)
        self.store.close()


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    return repr(value) if isinstance(value, int | float) else f'"{value}"'


@contextmanager
def rig(folder: Path, route: str, *, flights: int = 1_500, **options: Any) -> Iterator[Rig]:
    """A filled rig for a route such as ``sqlite-postgresql``."""
    source_kind, target_kind = route.split("-")
    with (
        side(source_kind, folder / "source.db") as source,
        side(target_kind, folder / "target.db") as target,
    ):
        made = Rig(folder, source, target, **options)
        made.fill(flights)
        try:
            yield made
        finally:
            made.close()
