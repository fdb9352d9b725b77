"""Brings a store to the newest schema, by itself, with a backup of a SQLite file before."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect, text

from syncmon_ext.model.errors import StoreUnavailable

SCRIPTS: Final = Path(__file__).parent / "migrations"
LOCK: Final = 0x73796E636D6F  # "syncmo": PostgreSQL's advisory lock while one process migrates


def migrate(engine: Engine, scripts: Path = SCRIPTS) -> None:
    """Apply what is missing of ``scripts``, once, however many processes open the store at a time.

    All or nothing is applied. A store of a newer syncmon is refused with StoreUnavailable.
    """
    config = Config()
    # Alembic's options are interpolated.
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    directory = ScriptDirectory.from_config(config)
    head = directory.get_current_head()
    with engine.connect() as connection:
        if _current(connection, directory) == head:
            return
    with engine.execution_options(syncmon_write=True).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        current = _current(connection, directory)  # another process may have been faster
        if current == head:
            return
        if connection.dialect.name == "sqlite" and current is not None:
            # This transaction keeps writers out, and has written nothing yet.
            _back_up(Path(str(engine.url.database)), current)
        context = MigrationContext.configure(
            connection, opts={"fn": lambda rev, _: directory._upgrade_revs(str(head), rev)}
        )
        with Operations.context(context):
            context.run_migrations()


def _current(connection: Connection, directory: ScriptDirectory) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in {s.revision for s in directory.walk_revisions()}:
        raise StoreUnavailable(
            f"the store has schema {current!r}, which this version of syncmon does not know",
            hint="it was made by a newer syncmon: upgrade this one, or set SYNCMON_STORE elsewhere",
        )
    return current


def _back_up(path: Path, revision: str) -> None:
    """Copy a SQLite store beside itself, whole or not at all; a copy that is there stays."""
    copy = path.with_name(f"{path.name}.{revision}.backup")
    if copy.exists():
        return
    unfinished = copy.with_name(f"{copy.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL, 0o600))
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(unfinished)) as target:
        source.backup(target)
    unfinished.replace(copy)
