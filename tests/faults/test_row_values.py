"""Rows that PostgreSQL refuses: what a run says of them holds their values only where that is allowed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from syncmon_ext.model.progress import Progress
from syncmon_ext.store import log, runs
from syncmon_ext.sync import inherited
from tests.faults.harness import Rig, Rows, rig

CANARY = "canary-7"
RULE = "no_such_row"
HOW: dict[str, dict[str, Any]] = {
    "replace": {"mode": "replace"},
    "direct": {"mode": "append", "direct": True},
    "rejects": {"mode": "replace", "max_rejects": 3},
}
# The rows of flights, and what the target has against them.
REFUSED: dict[str, tuple[Rows, str]] = {
    "unique": ([(n, "C1", 0.5, CANARY) for n in range(2)], "UNIQUE (note)"),
    "foreign": ([(0, CANARY, 0.5, "x")], "FOREIGN KEY (code) REFERENCES carriers (code)"),
    "check": ([(0, "C1", 0.5, CANARY)], "CHECK (length(note) < 8)"),
}


@contextmanager
def refusing_rig(folder: Path, route: str, refusal: str, **options: Any) -> Iterator[Rig]:
    """A rig whose target refuses rows of the source."""
    rows, rule = REFUSED[refusal]
    with rig(folder, route, flights=0, **options) as it:
        it.source.execute("INSERT INTO flights VALUES (?, ?, ?, ?)", rows)
        it.target.execute("CREATE TABLE carriers (code VARCHAR(8) NOT NULL PRIMARY KEY, name TEXT)")
        it.target.execute(
            "CREATE TABLE flights (id BIGINT NOT NULL PRIMARY KEY, code VARCHAR(8), "
            f"delay DOUBLE PRECISION, note TEXT, CONSTRAINT {RULE} {rule})"
        )
        yield it


def told(it: Rig, progress: Progress) -> str:
    """All that is said of a run: its log, its progress and its error."""
    assert progress.run_id is not None
    with it.store.read() as connection:
        entries = log.newest_entries(connection, "nightly", 1_000)
        run = runs.run_by_id(connection, progress.run_id)
    return msgspec.json.encode([entries, progress, run]).decode()


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("refusal", REFUSED)
@pytest.mark.parametrize("route", ["sqlite-postgresql", "postgresql-postgresql"])
def test_run_that_is_refused_rows_tells_none_of_their_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, route: str, refusal: str, how: str
) -> None:
    monkeypatch.setenv("SYNCMON_WORKER_LOGS", str(tmp_path / "workers"))
    with refusing_rig(tmp_path, route, refusal, **HOW[how]) as it:
        it.control.start("nightly")
        said = told(it, it.until_ended())
        assert RULE in said or "was rejected" in said or "were rejected" in said
        assert CANARY not in said
        it.until_worker_is_gone()
    for path in [*tmp_path.glob("store.db*"), *tmp_path.glob("workers/*")]:
        assert CANARY.encode() not in path.read_bytes(), path


@pytest.mark.parametrize("refusal", REFUSED)
def test_values_of_refused_rows_are_told_where_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: str
) -> None:
    monkeypatch.setenv(inherited.DETAILS_VARIABLE, "1")
    with refusing_rig(tmp_path, "sqlite-postgresql", refusal) as it:
        it.control.start("nightly")
        assert CANARY in told(it, it.until_ended())


def test_table_that_is_tied_to_one_that_failed_says_so(tmp_path: Path) -> None:
    with refusing_rig(tmp_path, "postgresql-postgresql", "foreign", **HOW["direct"]) as it:
        it.control.start("nightly")
        units = {unit.unit_id: unit for unit in it.until_ended().units}
        assert RULE in (units["flights"].error or ""), "its own reason"
        assert "together with flights, which failed" in (units["carriers"].error or "")
