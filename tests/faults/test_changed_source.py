"""A source that is changed while it is copied, without a snapshot that all of it is read in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from syncmon_ext.model.state import State
from syncmon_ext.model.task import Throttle
from tests.faults.harness import rig
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
