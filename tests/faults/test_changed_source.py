"""A source that is changed while it is copied, without a snapshot that all of it is read in."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from syncmon_ext.model.state import State
from syncmon_ext.model.task import Throttle
from tests.faults.harness import Rig, rig
from tests.faults.test_steer import SLOW


@pytest.mark.parametrize(
    ("route", "options"),
    [("sqlite-sqlite", {}), ("postgresql-sqlite", {"consistency": "chunk"})],
    ids=["sqlite", "postgresql"],
)
def test_rows_that_moved_out_of_the_copy_are_told(
    route: str, options: dict[str, Any], tmp_path: Path
) -> None:
    with rig(tmp_path, route, throttle=SLOW, **options) as it:
        it.begin()
        # They are there all the time, and in no chunk: their new keys lie below what is read already.
        it.source.execute("UPDATE flights SET id = -id - 1000000 WHERE id > 3000")
        moved = it.source.execute("SELECT count(*) FROM flights WHERE id < -1000000")[0][0]
        it.control.set_throttle("nightly", Throttle())
        assert it.until_ended().state is State.COMPLETED
        told = [m for m in it.messages() if "the source changed while it was copied" in m]
        assert told == [
            "flights: the source changed while it was copied: 1,500 rows were counted when it began or "
            f"went on, and {1500 - moved:,} were copied"
        ]
        assert it.target.execute("SELECT count(*) FROM flights") == [(1500 - moved,)]


def test_source_that_did_not_change_is_not_told(tmp_path: Path) -> None:
    with rig(tmp_path, "sqlite-sqlite", throttle=SLOW) as it:
        it.begin()
        it.control.pause("nightly")
        it.until(lambda: it.progress().state is State.PAUSED)
        it.control.start("nightly")
        it.finish()
        assert not any("the source changed" in message for message in it.messages())


def exchange(it: Rig) -> None:
    """Publish another file of the same tables in the source's place, as many rows in each."""
    path = Path(it.source.url.removeprefix("sqlite:///"))
    other = path.with_name("other.db")
    with sqlite3.connect(path) as old, sqlite3.connect(other) as new:
        old.backup(new)
        new.execute("UPDATE flights SET note = 'of the other file'")
    old.close()
    new.close()
    other.rename(path)


@pytest.mark.parametrize("route", ["sqlite-sqlite", "sqlite-postgresql"])
@pytest.mark.parametrize("paused", [True, False], ids=["paused", "running"])
def test_rows_of_two_files_do_not_go_together(route: str, paused: bool, tmp_path: Path) -> None:
    with rig(tmp_path, route, throttle=SLOW) as it:
        it.begin()
        if paused:
            it.control.pause("nightly")
            it.until(lambda: it.progress().state is State.PAUSED)
            it.until_worker_is_gone()
        exchange(it)
        if paused:
            it.control.start("nightly")
        it.finish()
        (told,) = [m for m in it.messages() if m.startswith("flights: begun again")]
        assert told.endswith("since another file lies in the place of the source's now")


def test_file_that_is_exchanged_for_ever_fails_its_table(tmp_path: Path) -> None:
    with rig(tmp_path, "sqlite-postgresql", throttle={"rows": 400}) as it:
        it.begin()
        for _ in range(12):
            exchange(it)
            told = len(it.messages())
            it.until(lambda: len(it.messages()) > told)  # noqa: B023  # it is called here
            if any(unit.unit_id == "flights" and unit.error for unit in it.progress().units):
                break
        assert it.until_ended().state is State.FAILED
        failed = {unit.unit_id: unit.error or "" for unit in it.progress().units if unit.error}
        assert "flights" in failed
        assert all("another file lies in the place" in error for error in failed.values())
        assert it.target.execute("SELECT to_regclass('flights')") == [(None,)]
        it.control.set_throttle("nightly", Throttle())
        it.control.start("nightly")
        it.finish()


@pytest.mark.parametrize("consistency", ["chunk", None])
def test_label_that_is_renamed_while_it_is_read_is_the_same_in_all_rows(
    consistency: str | None, tmp_path: Path
) -> None:
    options = {} if consistency is None else {"consistency": consistency}
    with rig(tmp_path, "postgresql-sqlite", throttle=SLOW, **options) as it:
        it.source.execute("CREATE TYPE mood AS ENUM ('sad', 'glad')")
        it.source.execute("ALTER TABLE flights ALTER note TYPE mood USING 'sad'::mood")
        it.begin()
        it.source.execute("ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'")
        it.control.set_throttle("nightly", Throttle())
        assert it.until_ended().state is State.COMPLETED
        why = "flights: begun again from its first row, since a label of an enum was renamed"
        assert why in it.messages()
        assert it.target.execute("SELECT DISTINCT note FROM flights") == [("blue",)]
