"""Real databases for the tests of the engine: one PostgreSQL server per test process, SQLite files."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.engine import URL, make_url

from syncmon_ext.model.connection import Connection
from syncmon_ext.sync.databases import sessions
from tests.databases import postgres_server

_numbers = itertools.count(1)
PARENTS = (  # two tables, one of which refers to the other
    "CREATE TABLE parent (id INTEGER NOT NULL PRIMARY KEY)",
    "CREATE TABLE child (id INTEGER NOT NULL PRIMARY KEY, up INTEGER REFERENCES parent (id))",
)


@cache
def server_url() -> URL:
    """The URL of a server that lives as long as this process."""
    return make_url(postgres_server().get_uri()).set(drivername="postgresql")


def dsn(name: str) -> str:
    """What psycopg connects to for the database ``name``."""
    url = server_url().set(database=name)
    return url.render_as_string(hide_password=False)


class Database:
    """A database of a test: a connection as syncmon knows it, and plain ways to fill and read it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.dialect = make_url(connection.url).get_backend_name()

    @property
    def path(self) -> str:
        return str(make_url(self.connection.url).database)

    def run(self, *statements: str) -> None:
        """Run statements, each for itself."""
        if self.dialect == "sqlite":
            db = sqlite3.connect(self.path, isolation_level=None)
            try:
                for statement in statements:
                    db.execute(statement)
            finally:
                db.close()
        else:
            with psycopg.connect(self.connection.url, autocommit=True) as pg:
                for statement in statements:
                    pg.execute(statement.encode())

    def insert(self, table: str, rows: list[tuple[Any, ...]]) -> None:
        """Insert rows into a table (its name is written as SQL)."""
        if not rows:
            return
        if self.dialect == "sqlite":
            db = sqlite3.connect(self.path)
            try:
                with db:
                    db.executemany(
                        f"INSERT INTO {table} VALUES ({','.join('?' * len(rows[0]))})", rows
                    )
            finally:
                db.close()
        else:
            with psycopg.connect(self.connection.url, autocommit=True) as pg:
                marks, name = ",".join(["%s"] * len(rows[0])), table.replace("%", "%%")
                pg.cursor().executemany(f"INSERT INTO {name} VALUES ({marks})".encode(), rows)

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows of a statement."""
        if self.dialect == "sqlite":
            db = sqlite3.connect(self.path)
            try:
                return db.execute(statement).fetchall()
            finally:
                db.close()
        with psycopg.connect(self.connection.url) as pg:
            pg.execute("SET TimeZone = 'UTC'")
            return pg.execute(statement.encode()).fetchall()

    def tables(self) -> list[str]:
        """The names of all tables, syncmon's own included."""
        if self.dialect == "sqlite":
            rows = self.query("SELECT name FROM sqlite_schema WHERE type = 'table'")
        else:
            rows = self.query(
                "SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
                "WHERE relkind IN ('r', 'p') AND nspname NOT IN ('pg_catalog', 'information_schema')"
            )
        return sorted(row[0] for row in rows)

    def staging(self) -> list[str]:
        """The staging tables that are there."""
        return [name for name in self.tables() if name.startswith("_syncmon_stage_")]


Maker = Callable[[str], Database]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Maker]:
    """Makes a fresh database: ``database("sqlite")`` or ``database("postgresql")``."""
    made: list[str] = []

    def make(dialect: str) -> Database:
        number = next(_numbers)
        name = f"db{number}"
        if dialect == "sqlite":
            url = f"sqlite:///{tmp_path}/{name}.db"
            sqlite3.connect(tmp_path / f"{name}.db").close()
        else:
            with psycopg.connect(dsn("postgres"), autocommit=True) as pg:
                pg.execute(f"CREATE DATABASE {name}".encode())
            made.append(name)
            url = dsn(name)
        return Database(Connection(name=f"{dialect}-{number}", url=url))

    yield make
    sessions.close_all()
    for name in made:
        with psycopg.connect(dsn("postgres"), autocommit=True) as pg:
            pg.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
