"""The file of a SQLite source that is exchanged, or written over, between the chunks of one copy."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from syncmon_ext.model.errors import CopyFailed, SourceExchanged
from syncmon_ext.sync import source_file
from syncmon_ext.sync.attempts import attempted
from syncmon_ext.sync.databases import sessions
from syncmon_ext.sync.source_file import SourceFile
from tests.sync.copying import Copy, owner
from tests.sync.databases import Database, Maker

ROWS = 100


def make(path: Path | str, word: str, *, writes: int = 1) -> None:
    """A file with a table of ``ROWS`` rows, after that many transactions."""
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, v TEXT)")
    db.executemany("INSERT INTO t VALUES (?, ?)", [(n, f"{word} {n}") for n in range(ROWS)])
    db.commit()
    for number in range(writes):
        db.execute(f"PRAGMA user_version = {number + 1}")
    db.close()


def moved_over(path: Path) -> None:
    other = path.with_name("other.db")
    make(other, "new", writes=9)
    other.rename(path)


def made_anew(path: Path) -> None:
    """Its inode may be the old one's; where the file system tells no more of it, its changes are fewer."""
    path.unlink()
    make(path, "new", writes=0)


def written_over(path: Path) -> None:
    other = path.with_name("other.db")
    make(other, "new", writes=0)
    shutil.copyfile(other, path)


EXCHANGES = [moved_over, made_anew, written_over]


def begun(database: Maker, dialect: str, **spec: Any) -> tuple[Database, Database, Copy]:
    source, target = database("sqlite"), database(dialect)
    Path(source.path).unlink()
    make(source.path, "old", writes=5)
    return source, target, Copy(source, target, tables=["t"], **spec)


@pytest.fixture(params=["sqlite", "postgresql"])
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "opened anew"])
@pytest.mark.parametrize("exchange", EXCHANGES)
def test_chunk_of_another_file_is_refused(
    database: Maker, dialect: str, exchange: Callable[[Path], None], kept: bool
) -> None:
    source, target, copy = begun(database, dialect)
    (unit,) = copy.units
    with copy.claimed():
        first, *others = copy.chunks(unit, copy.prepare(unit), 30)
        copy.copy(unit, first)
        if not kept:
            sessions.close_all()  # as another child of the worker has none open
        exchange(Path(source.path))
        for chunk in others:
            with pytest.raises(SourceExchanged, match="do not go together"):
                copy.copy(unit, chunk)
        mark = copy.prepare(unit)
        assert mark.restarted
        assert "file" in mark.changed
        for chunk in copy.chunks(unit, mark, 30):
            copy.copy(unit, chunk)
        copy.swap(unit)
    assert target.query("SELECT * FROM t ORDER BY id") == source.query("SELECT * FROM t")


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_bad_row_of_another_file_is_not_set_aside(
    database: Maker, exchange: Callable[[Path], None]
) -> None:
    source, target = database("sqlite"), database("sqlite")
    Path(source.path).unlink()
    make(source.path, "old", writes=5)
    target.run("CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, v TEXT CHECK (v LIKE 'old%'))")
    copy = Copy(source, target, tables=["t"], max_rejects=1000)
    (unit,) = copy.units
    with copy.claimed():
        first, second, *_ = copy.chunks(unit, copy.prepare(unit), 30)
        copy.copy(unit, first)
        sessions.close_all()
        exchange(Path(source.path))
        with pytest.raises(SourceExchanged):
            copy.copy(unit, second)
    assert target.query("SELECT count(*) FROM _syncmon_rejects") == [(0,)]


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_unit_that_may_set_rows_aside_is_read_from_the_other_file(
    database: Maker, dialect: str, exchange: Callable[[Path], None]
) -> None:
    source, target, copy = begun(database, dialect, max_rejects=1)
    (unit,) = copy.units
    with copy.claimed():
        first, second, *_ = copy.chunks(unit, copy.prepare(unit), 30)
        copy.copy(unit, first)
        exchange(Path(source.path))
        with pytest.raises(SourceExchanged):
            attempted("t", copy.copy, unit, second)
        for chunk in copy.chunks(unit, copy.prepare(unit), 30):
            attempted("t", copy.copy, unit, chunk)
        copy.swap(unit)
    assert target.query("SELECT * FROM t ORDER BY id") == source.query("SELECT * FROM t")


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_paused_unit_begins_again_with_another_file(
    database: Maker, dialect: str, exchange: Callable[[Path], None]
) -> None:
    source, target, copy = begun(database, dialect)
    (unit,) = copy.units
    with copy.claimed():
        copy.copy(unit, next(copy.chunks(unit, copy.prepare(unit), 30)))
    sessions.close_all()
    exchange(Path(source.path))
    copy.run(30)
    assert target.query("SELECT * FROM t ORDER BY id") == source.query("SELECT * FROM t")


def test_direct_rows_of_a_file_that_is_gone_are_not_added_to(database: Maker, dialect: str) -> None:
    source, target, copy = begun(database, dialect, mode="append", direct=True)
    (unit,) = copy.units
    with copy.claimed():
        copy.copy(unit, next(copy.chunks(unit, copy.prepare(unit), 30)))
        moved_over(Path(source.path))
        with pytest.raises(CopyFailed, match="another file lies in the place"):
            copy.prepare(unit)
    assert target.query("SELECT count(*) FROM t") == [(30,)]


SWAPPED = [
    "ALTER TABLE t RENAME COLUMN v TO other",
    "ALTER TABLE t RENAME COLUMN w TO v",
    "ALTER TABLE t RENAME COLUMN other TO w",
]


@pytest.mark.parametrize("columns", [["id", "v", "w"], ["id", "v"]])
@pytest.mark.parametrize("names", ["vw", "VW", "ÄÖ"])
def test_columns_that_exchange_their_names_are_not_mixed(
    database: Maker, dialect: str, columns: list[str], names: str
) -> None:
    source, target = database("sqlite"), database(dialect)
    columns = [name.translate(str.maketrans("vw", names)) for name in columns]
    source.run(
        f"CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, {names[0]} TEXT, {names[1]} TEXT)"
    )
    source.insert("t", [(n, f"v{n}", f"w{n}") for n in range(ROWS)])
    copy = Copy(source, target, tables=[{"name": "t", "columns": columns}])
    (unit,) = copy.units
    with copy.claimed():
        first, second, *_ = copy.chunks(unit, copy.prepare(unit), 30)
        copy.copy(unit, first)
        source.run(*(s.translate(str.maketrans("vw", names)) for s in SWAPPED))
        with pytest.raises(SourceExchanged, match="its columns are others now"):
            copy.copy(unit, second)
        mark = copy.prepare(unit)
        assert mark.restarted and mark.changed == "its columns are others now"
        for chunk in copy.chunks(unit, mark, 30):
            copy.copy(unit, chunk)
        source.run("ALTER TABLE t ADD COLUMN x TEXT")
        assert not copy.prepare(unit).restarted
        copy.swap(unit)
    quoted = ", ".join(f'"{name}"' for name in columns)
    read = f"SELECT {quoted} FROM t ORDER BY id"
    assert target.query(read) == source.query(read)


def write(source: Database) -> None:
    for _ in range(3):
        source.run("UPDATE t SET v = v || '!' WHERE id = 1")


def alter(source: Database) -> None:
    source.run(
        "DROP TABLE IF EXISTS u", "CREATE TABLE u (v)", "CREATE INDEX IF NOT EXISTS i ON t (v)"
    )


def vacuum(source: Database) -> None:
    source.run("DELETE FROM t WHERE id = 99", "VACUUM")


def log_ahead(source: Database) -> None:
    source.run("PRAGMA journal_mode = WAL")
    write(source)
    source.run("PRAGMA wal_checkpoint(TRUNCATE)")
    write(source)


def roll_back(source: Database) -> None:
    """As with a writer that spills its pages, and then changes its mind."""
    db = sqlite3.connect(source.path, isolation_level=None)
    db.execute("PRAGMA cache_size = 1")
    db.execute("BEGIN")
    db.execute("CREATE TABLE u (v)")
    db.executemany("INSERT INTO u VALUES (?)", [("x" * 9000,)] * 100)
    db.execute("ROLLBACK")
    db.close()


def restore(source: Database) -> None:
    """By SQLite itself: a transaction like others."""
    db, kept = sqlite3.connect(source.path), sqlite3.connect(f"{source.path}.kept")
    db.backup(kept)
    kept.backup(db)
    db.close()
    kept.close()


def rename(source: Database) -> None:
    """And put it back: a file is not its name."""
    here = Path(source.path)
    here.rename(f"{here}.away").rename(here)


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("change", [write, alter, vacuum, log_ahead, roll_back, restore, rename])
def test_file_that_is_written_to_is_no_other(
    database: Maker, dialect: str, change: Callable[[Database], None], paused: bool
) -> None:
    source, target, copy = begun(database, dialect)
    (unit,) = copy.units
    with copy.claimed():
        mark = copy.prepare(unit)
        first, *others = copy.chunks(unit, mark, 30)
        copy.copy(unit, first)
        change(source)
        if paused:
            sessions.close_all()
            again = copy.prepare(unit)
            assert (again.restarted, again.warnings) == (False, [])
        for chunk in others:
            copy.copy(unit, chunk)
        change(source)
        assert not copy.prepare(unit).restarted
        copy.swap(unit)
    assert target.query("SELECT count(*) FROM t") in ([(ROWS,)], [(ROWS - 1,)])


def test_unit_begins_while_its_file_is_moved_away_and_goes_on_once_it_is_back(
    database: Maker, dialect: str
) -> None:
    source, target, copy = begun(database, dialect)
    (unit,) = copy.units
    here = Path(source.path)
    with copy.claimed():
        copy.prepare(unit)
        away = here.rename(f"{here}.away")
        assert copy.prepare(unit).committed == []
        away.rename(here)
        assert not copy.prepare(unit).restarted
        for chunk in copy.chunks(unit, copy.prepare(unit), 30):
            copy.copy(unit, chunk)
        copy.swap(unit)
    assert target.query("SELECT * FROM t ORDER BY id") == source.query("SELECT * FROM t")


def test_file_that_goes_by_another_name_now_is_the_same(database: Maker) -> None:
    source, target, copy = begun(database, "sqlite")
    (unit,) = copy.units
    with copy.claimed():
        copy.copy(unit, next(copy.chunks(unit, copy.prepare(unit), 30)))
    sessions.close_all()
    elsewhere = f"{source.path}.elsewhere"
    Path(source.path).rename(elsewhere)
    source.connection = type(source.connection)(name="elsewhere", url=f"sqlite:///{elsewhere}")
    again = Copy(source, target, owner(token=2), tables=["t"])
    with again.claimed():
        assert not again.prepare(unit).restarted


def test_copy_within_a_file_goes_on_wherever_the_file_is_brought(database: Maker) -> None:
    source = database("sqlite")
    Path(source.path).unlink()
    make(source.path, "old")
    copy = Copy(source, source, tables=[{"name": "t", "target": "u"}])
    (unit,) = copy.units
    with copy.claimed():
        first, *others = copy.chunks(unit, copy.prepare(unit), 30)
        copy.copy(unit, first)
        sessions.close_all()
        brought = shutil.copyfile(source.path, f"{source.path}.brought")
        Path(brought).rename(source.path)
        assert not copy.prepare(unit).restarted
        for chunk in others:
            copy.copy(unit, chunk)
        copy.swap(unit)
    assert source.query("SELECT * FROM u ORDER BY id") == source.query("SELECT * FROM t")


def test_file_that_is_gone_is_read_on_where_it_is_open(database: Maker) -> None:
    source, target, copy = begun(database, "postgresql")
    rows = source.query("SELECT * FROM t")
    (unit,) = copy.units
    with copy.claimed():
        first, *others = copy.chunks(unit, copy.prepare(unit), 30)
        copy.copy(unit, first)
        Path(source.path).unlink()
        for chunk in others:
            copy.copy(unit, chunk)
        copy.swap(unit)
    assert target.query("SELECT * FROM t ORDER BY id") == rows


@pytest.mark.parametrize("epoch", ["", '{"order":""}'])
def test_unit_of_an_older_syncmon_goes_on(database: Maker, dialect: str, epoch: str) -> None:
    source, target, copy = begun(database, dialect)
    (unit,) = copy.units
    units = "_syncmon_units" if dialect == "sqlite" else "_syncmon.units"
    with copy.claimed():
        copy.copy(unit, next(copy.chunks(unit, copy.prepare(unit), 30)))
        sessions.close_all()
        target.run(f"UPDATE {units} SET epoch = '{epoch}'")
        assert not copy.prepare(unit).restarted
        moved_over(Path(source.path))
        assert copy.prepare(unit).restarted  # what it had is known by now


KNOWN = SourceFile(device=1, inode=12, generation=77, changes=9, schema=4)
CASES: dict[str, tuple[dict[str, Any], str]] = {
    "written to": ({"changes": 10, "schema": 5}, ""),
    "no longer told": ({"generation": None, "changes": None}, ""),
    "another device, and the very file": ({"device": 2}, ""),
    "another device, and nothing more known": ({"device": 2, "generation": None}, "doubt"),
    "another inode": ({"inode": 13}, "another file"),
    "another file of the same inode": ({"generation": 78, "changes": 99}, "another file"),
    "fewer changes": ({"changes": 8}, "set back"),
    "fewer changes of tables": ({"schema": 3, "changes": 99}, "set back"),
}


def test_numbers_that_begin_again_are_not_less() -> None:
    last = msgspec.structs.replace(KNOWN, changes=(1 << 32) - 1)
    assert source_file.difference(last, KNOWN) == ""


@pytest.mark.parametrize(("values", "expected"), CASES.values(), ids=CASES)
def test_files_are_told_apart(values: dict[str, Any], expected: str) -> None:
    now = msgspec.structs.replace(KNOWN, **values)
    found, doubt = source_file.difference(KNOWN, now), source_file.doubt(KNOWN, now)
    if expected == "doubt":
        assert (found, "another device" in doubt) == ("", True)
    elif expected:
        assert expected in found
    else:
        assert (found, doubt) == ("", "")
