"""Database URLs: which database a connection names, and how it may be shown."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from syncmon_ext.model.connection import Connection
from syncmon_ext.model.errors import InvalidConfig
from syncmon_ext.sync import url_rules

DIALECTS = ("sqlite", "postgresql")


def parsed(connection: Connection) -> URL:
    """The URL of ``connection``; raises InvalidConfig where it cannot be understood or used."""
    try:
        url = make_url(connection.url)
    except (ArgumentError, ValueError):
        # The text may hold a password: it is not repeated.
        raise InvalidConfig(
            f"the url of connection {connection.name} cannot be understood",
            hint='write it as "sqlite:///file.db" or "postgresql://user@host:5432/database"',
        ) from None
    if url.get_backend_name() not in DIALECTS:
        raise InvalidConfig(
            f"connection {connection.name} is of {url.get_backend_name()}, which syncmon cannot copy",
            hint=f"use one of: {', '.join(DIALECTS)}",
        )
    url_rules.check_url(url, connection.name)
    return url


def dialect(connection: Connection) -> str:
    """``sqlite`` or ``postgresql``."""
    return parsed(connection).get_backend_name()


def sqlite_path(connection: Connection) -> Path:
    """The file of a SQLite connection; raises InvalidConfig where it is none, or not allowed."""
    database = parsed(connection).database
    if database and database.lstrip("/").lower().startswith("file:"):
        raise InvalidConfig(
            f"connection {connection.name}: a file: URI is not allowed",
            hint='write "sqlite:///path/to/file.db"',
        )
    if not database or database == ":memory:":
        raise InvalidConfig(
            f"connection {connection.name} names no file: a worker cannot reach a database in memory",
            hint='write "sqlite:///path/to/file.db"',
        )
    return url_rules.allowed_path(Path(database).expanduser(), connection.name)


def leads_elsewhere(old: Connection, new: Connection) -> bool:
    """Whether the two may be different databases, or one that different people see."""
    return _place(old) != _place(new)


def _place(connection: Connection) -> tuple[object, ...]:
    url = parsed(connection)
    if url.get_backend_name() == "sqlite":
        return ("sqlite", sqlite_path(connection))
    reach = {key: url.query[key] for key in url_rules.REACH if key in url.query}
    return (url.get_backend_name(), url.username, url.host, url.port, url.database, reach)


def check(connection: Connection) -> None:
    """Raise InvalidConfig for a connection that breaks a rule, without connecting."""
    if dialect(connection) == "sqlite":
        sqlite_path(connection)
