"""The identity of a database: whether two machines that use one URL have reached the same one."""

from __future__ import annotations

from typing import Final

from syncmon_ext.model.errors import CopyFailed
from syncmon_ext.sync.databases.sessions import AnySession

# A cluster's own number, given to it by initdb, and the database's in it.
_ASK: Final = (
    "SELECT (pg_control_system()).system_identifier::text || '/' || oid::text FROM pg_database "
    "WHERE datname = current_database()"
)


def of(session: AnySession) -> str:
    """What tells the database from all others; empty where it does not say."""
    try:
        return str(session.execute(_ASK)[0][0])
    except CopyFailed:  # the right to ask was taken away
        return ""


def check(session: AnySession, known: str, where: str) -> None:
    """Raise CopyFailed unless ``session``, opened on the machine ``where``, reaches the database that is
    ``known``."""
    found = of(session)
    if known and found and found != known:
        raise CopyFailed(
            f"{session.name}: its url leads to another database on {where} than here",
            hint="name the server in the url as all machines know it: localhost is another on each",
        )
