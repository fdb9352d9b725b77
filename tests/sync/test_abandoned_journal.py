"""A SQLite file whose writer was killed in the middle of a transaction can be read at once."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from syncmon_ext.model.connection import Connection
from syncmon_ext.sync.attempts import attempted
from syncmon_ext.sync.jobs import test_connection as check_connection
from tests.sync.copying import Copy
from tests.sync.databases import Maker

WRITER = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 10")
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE t SET v = zeroblob(3000)")  # spills into the file, with a journal beside it
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_reader_rolls_back_what_a_killed_writer_left(tmp_path: Path) -> None:
    path = tmp_path / "flights.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v)")
        connection.executemany("INSERT INTO t VALUES (?, 'kept')", ((n,) for n in range(500)))
    connection.close()
    died = subprocess.run([sys.executable, "-c", WRITER, str(path)], check=False)
    assert died.returncode == -signal.SIGKILL
    assert Path(f"{path}-journal").exists(), "the writer left nothing to roll back"
    check = attempted(
        "flights", check_connection, Connection(name="flights", url=f"sqlite:///{path}")
    )
    again = check_connection(Connection(name="flights", url=f"sqlite:///{path}"))
    assert check.ok or again.ok
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM t WHERE v = 'kept'").fetchone() == (500,)
    connection.close()


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_chunk_is_read_once_what_a_killed_writer_left_is_rolled_back(
    database: Maker, dialect: str
) -> None:
    source, target = database("sqlite"), database(dialect)
    source.run("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
    source.insert("t", [(n, "kept") for n in range(500)])
    copy = Copy(source, target, tables=["t"])
    (unit,) = copy.units
    with copy.claimed():
        for chunk in list(copy.chunks(unit, copy.prepare(unit), 250)):
            subprocess.run([sys.executable, "-c", WRITER, source.path], check=False)
            assert Path(f"{source.path}-journal").exists()
            assert attempted("t", copy.copy, unit, chunk).rows == 250
        assert not copy.prepare(unit).restarted
        copy.swap(unit)
    assert target.query("SELECT count(*) FROM t") == [(500,)]
