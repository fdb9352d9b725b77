"""Brings a store to the newest schema, by itself, with a backup of a SQLite file before."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, inspect, text

from syncmon_ext.model.errors import StoreUnavailable
from syncmon_ext.store.shown_url import masked

SCRIPTS: Final = Path(__file__).parent / "migrations"
LOCK: Final = 0x73796E636D6F  # "syncmo": PostgreSQL's advisory lock while one process sets it up


def migrate(engine: Engine, scripts: Path = SCRIPTS) -> None:
    """Apply what is missing of ``scripts``, once, however many processes open the store at a time.

    All or nothing is applied. A store of a newer syncmon is refused with StoreUnavailable.
    """
    with engine.connect() as connection:
        if _current(connection) == newest_by_name(scripts):
            return
    _upgrade(engine, scripts)


def newest_by_name(scripts: Path) -> str:
    """The newest revision as the names of the scripts tell it: each begins with its revision."""
    return max(path.stem.split("_")[0] for path in (scripts / "versions").glob("*.py"))


def hold_alone(connection: Connection) -> None:
    """Keep other processes from setting the store up until this transaction ends.

    SQLite's writers are alone anyhow.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})


def _upgrade(engine: Engine, scripts: Path) -> None:
    # Alembic takes a quarter of a command's start, and almost every store is up to date.
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.operations import Operations
    from alembic.script import ScriptDirectory

    config = Config()
    # Alembic's options are interpolated.
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    directory = ScriptDirectory.from_config(config)
    head = directory.get_current_head()
    known = {script.revision for script in directory.walk_revisions()}
    with engine.execution_options(syncmon_write=True).begin() as connection:
        hold_alone(connection)
        current = _current(connection)  # another process may have been faster
        if current == head:
            return
        if current is not None and current not in known:
            raise StoreUnavailable(
                f"the store {masked(engine.url)} has schema {current!r}, which this version of "
                "syncmon does not know",
                hint="it was made by a newer syncmon: upgrade this one, or set SYNCMON_STORE elsewhere",
            )
        if connection.dialect.name == "sqlite" and current is not None:
            # This transaction keeps writers out, and has written nothing yet.
            _back_up(Path(str(engine.url.database)), current)
        context = MigrationContext.configure(
            connection, opts={"fn": lambda rev, _: directory._upgrade_revs(str(head), rev)}
        )
        with Operations.context(context):
            context.run_migrations()


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


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
