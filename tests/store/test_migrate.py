from __future__ import annotations

import multiprocessing
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, select, text

from syncmon_ext.model.errors import StoreUnavailable
from syncmon_ext.model.task import Task
from syncmon_ext.store import migrate as migration
from syncmon_ext.store import tasks
from syncmon_ext.store.schema import metadata, store_identity
from syncmon_ext.store.shown_url import masked
from syncmon_ext.store.store import Store

PROCESSES = 4

SECOND = """
import sqlalchemy as sa
from alembic import op

revision = "0002_test"
down_revision = {down!r}
branch_labels = None
depends_on = None


def upgrade():
    op.add_column("tasks", sa.Column("colour", sa.Text(), server_default="blue"))
    {then}
"""


def second_migration(tmp_path: Path, then: str = "pass") -> Path:
    """The real migrations and one more, which ends with the statement ``then``."""
    folder = tmp_path / "migrations %s"
    shutil.copytree(migration.SCRIPTS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    newest = max(path.stem.split("_")[0] for path in (folder / "versions").glob("*.py"))
    text_ = SECOND.format(down=newest, then=then)
    (folder / "versions" / "9999_second.py").write_text(text_)
    return folder


def revision(store: Store) -> str | None:
    with store.read() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def columns(store: Store) -> set[str]:
    with store.read() as connection:
        return {column["name"] for column in inspect(connection).get_columns("tasks")}


def add_task(store: Store) -> None:
    with store.write() as connection:
        tasks.create_task(connection, Task(task_id="nightly", name="nightly"))


def test_new_store_has_the_schema_that_the_code_describes(store: Store) -> None:
    with store.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, metadata)
    assert differences == []


def test_newest_revision_is_known_from_the_names_of_the_scripts(store: Store) -> None:
    assert migration.newest_by_name(migration.SCRIPTS) == revision(store)


def test_opening_a_store_that_is_up_to_date_does_not_load_the_migrations(store_url: str) -> None:
    Store(store_url).close()
    program = (
        "import sys; from syncmon_ext.store.store import Store; "
        f"Store({store_url!r}).close(); print('alembic' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_store_opened_again_is_the_same_store(store_url: str) -> None:
    first = Store(store_url)
    add_task(first)
    second = Store(store_url)
    assert second.store_id == first.store_id
    assert revision(second) == revision(first) is not None
    with second.read() as connection:
        assert tasks.stored_task(connection, "nightly") is not None
    first.close()
    second.close()


def open_store(url: str, ready: object, answers: multiprocessing.Queue[str]) -> None:
    try:
        ready.wait()  # type: ignore[attr-defined]
        store = Store(url)
        store.close()
        answers.put(store.store_id)
    except BaseException as error:
        answers.put(f"{type(error).__name__}: {error}")


def test_store_opened_by_many_processes_at_once_is_made_once(store_url: str) -> None:
    context = multiprocessing.get_context("spawn")
    ready, answers = context.Barrier(PROCESSES), context.Queue()
    workers = [
        context.Process(target=open_store, args=(store_url, ready, answers))
        for _ in range(PROCESSES)
    ]
    for worker in workers:
        worker.start()
    found = {answers.get(timeout=180) for _ in workers}
    for worker in workers:
        worker.join(timeout=30)
    store = Store(store_url)
    assert found == {store.store_id}
    with store.read() as connection:
        assert len(list(connection.execute(select(store_identity.c.store_id)))) == 1
    store.close()


def test_new_store_waits_for_who_writes_to_its_file(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("CREATE TABLE theirs (x)")
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.5, other.execute, ["COMMIT"])
        release.start()
        Store(f"sqlite:///{path}").close()
        release.join()


def test_store_of_a_newer_syncmon_is_refused_and_left_alone(store_url: str) -> None:
    store = Store(store_url)
    with store.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    store.close()
    with pytest.raises(StoreUnavailable) as caught:
        Store(store_url)
    assert "'9999'" in caught.value.message
    assert masked(store.url) in caught.value.message
    assert "upgrade" in caught.value.hint


def test_upgrade_keeps_what_is_stored(store: Store, tmp_path: Path) -> None:
    add_task(store)
    scripts = second_migration(tmp_path)
    migration.migrate(store.engine, scripts)
    assert "colour" in columns(store)
    migration.migrate(store.engine, scripts)  # nothing is left to do
    with store.read() as connection:
        assert connection.scalar(text("SELECT colour FROM tasks")) == "blue"


def test_upgrade_that_fails_changes_nothing(store: Store, tmp_path: Path) -> None:
    add_task(store)
    before = revision(store)
    scripts = second_migration(tmp_path, then="raise RuntimeError('no')")
    with pytest.raises(RuntimeError, match="no"):
        migration.migrate(store.engine, scripts)
    assert "colour" not in columns(store)
    assert revision(store) == before


def test_sqlite_store_is_backed_up_before_an_upgrade(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = Store(f"sqlite:///{path}")
    assert not list(tmp_path.glob("*.backup"))  # a new store holds nothing to keep
    add_task(store)
    before = revision(store)
    migration.migrate(store.engine, second_migration(tmp_path))
    (copy,) = tmp_path.glob("*.backup*")
    assert copy.name == f"store.db.{before}.backup"
    assert copy.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(copy)) as old:
        assert old.execute("SELECT task_id FROM tasks").fetchall() == [("nightly",)]
        assert old.execute("SELECT version_num FROM alembic_version").fetchall() == [(before,)]
        assert "colour" not in {row[1] for row in old.execute("PRAGMA table_info(tasks)")}
        assert old.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    store.close()
    restored = Store(f"sqlite:///{copy}")
    assert restored.store_id == store.store_id
    restored.close()


def test_backup_that_was_cut_short_is_made_again(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'store.db'}")
    half = tmp_path / f"store.db.{revision(store)}.backup.unfinished"
    half.write_bytes(b"half a page")
    migration.migrate(store.engine, second_migration(tmp_path))
    assert not half.exists()
    with closing(sqlite3.connect(half.with_suffix(""))) as old:
        assert old.execute("SELECT count(*) FROM store_identity").fetchone() == (1,)
    store.close()
