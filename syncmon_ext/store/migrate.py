"""Brings a store to the newest schema, by itself, with a backup of a SQLite file before."""

from __future__ import annotations

import sqlite3
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


def scripts() -> ScriptDirectory:
    """The migrations of this version."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    return ScriptDirectory.from_config(config)


def migrate(engine: Engine) -> None:
    """Apply what is missing, once, however many processes open the store at a time.

    A store of a newer syncmon is refused: StoreUnavailable names both versions.
    """
    directory = scripts()
    head = directory.get_current_head()
    with engine.connect() as connection:
        current = _current(connection)
    if current == head:
        return
    known = {script.revision for script in directory.walk_revisions()}
    if current is not None and current not in known:
        raise StoreUnavailable(
            f"the store has schema {current!r}, which this version of syncmon does not know",
            hint="it was made by a newer syncmon: upgrade this one, or set SYNCMON_STORE elsewhere",
        )
    if engine.dialect.name == "sqlite" and current is not None:
        _back_up(engine, current)
    with engine.execution_options(syncmon_write=True).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        current = _current(connection)  # another process may have been faster
        if current == head:
            return
        context = MigrationContext.configure(
            connection, opts={"fn": lambda rev, _: directory._upgrade_revs(str(head), rev)}
        )
        with Operations.context(context):
            context.run_migrations()


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return MigrationContext.configure(connection).get_current_revision()


def _back_up(engine: Engine, revision: str) -> None:
    path = Path(str(engine.url.database))
    copy = path.with_name(f"{path.name}.{revision}.backup")
    if copy.exists():
        return
    with sqlite3.connect(path) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    source.close()
    target.close()
