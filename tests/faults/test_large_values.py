"""Values of 100 MB in many rows, two chunks in flight: the whole worker stays below 300 MiB."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from syncmon_ext.model.state import State
from tests.faults.harness import ROUTES, Rig, side
from tests.faults.memory import peak_mib

LONG = os.environ.get("SYNCMON_FAULTS") == "long"
VALUE_BYTES = 100_000_000
ROWS = 4 if LONG else 1  # of each table
TABLES = ["one", "two"]
PEAK_MIB = 300
KINDS = {
    "sqlite": ("BLOB", "zeroblob({})"),
    "postgresql": ("bytea", "decode(repeat('00', {}), 'hex')"),
}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("route", ROUTES if LONG else ["sqlite-postgresql"])
def test_one_chunk_of_large_values_is_in_flight_at_a_time(
    route: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    source_kind, target_kind = route.split("-")
    kind, value = KINDS[source_kind]
    made = value.format(VALUE_BYTES)
    with (
        side(source_kind, tmp_path / "source.db") as origin,
        side(target_kind, tmp_path / "target.db") as to,
    ):
        for name in TABLES:
            origin.execute(f"CREATE TABLE {name} (id INTEGER NOT NULL PRIMARY KEY, v {kind})")
            for number in range(ROWS):
                origin.execute(f"INSERT INTO {name} VALUES ({number}, {made})")
        it = Rig(tmp_path, origin, to, tables=TABLES, chunk_rows=1)
        it.control.start("nightly")
        peak, began = 0.0, time.monotonic()
        while it.progress().state not in (State.COMPLETED, State.FAILED):
            peak = peak_mib(it, peak)
            it.supervisor.check()
            time.sleep(0.05)
        record_property("seconds", round(time.monotonic() - began, 1))
        record_property("peak_mib", round(peak))
        assert it.progress().state is State.COMPLETED, it.progress().error
        for name in TABLES:
            ask = f"SELECT id, length(v), {'hex(substr(v, -4))' if target_kind == 'sqlite' else 'md5(v)'}"
            rows = to.execute(f"{ask} FROM {name} ORDER BY id")
            assert [row[:2] for row in rows] == [(n, VALUE_BYTES) for n in range(ROWS)]
            assert len({row[2] for row in rows}) == 1
        assert 0 < peak < PEAK_MIB
        it.close()
