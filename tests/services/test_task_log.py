"""A search goes through a log stretch by stretch, and finds what one look at all of it would."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import msgspec
import pytest

from syncmon_ext.model.log import Level
from syncmon_ext.services import task_log
from syncmon_ext.services.catalog import Catalog
from syncmon_ext.services.configuration import Configuration
from syncmon_ext.services.task_log import LogFilter, TaskLog
from syncmon_ext.store import log
from syncmon_ext.store.log import NewEntry
from syncmon_ext.store.store import Store
from tests.simulated import SimulatedRun

ENTRIES = 100


@pytest.fixture
def service(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TaskLog:
    """The log of a task of which the oldest entries are gone, searched in short stretches."""
    monkeypatch.setattr(task_log, "SEARCHED_AT_ONCE", 7)
    run = SimulatedRun(store, "one")
    entries = [
        NewEntry(
            level=Level.WARNING if number % 3 == 0 else Level.INFO,
            message=f"entry {number}" + (" with a word" if number % 5 == 0 else ""),
            unit="t" if number % 2 else None,
        )
        for number in range(ENTRIES)
    ]
    with store.write() as connection:
        log.append(connection, "one", run.run_id, entries)
        log.trim(connection, "one", 10)
    return TaskLog(store, Catalog(store, Configuration(None)))


@pytest.mark.parametrize(
    "wanted",
    [
        LogFilter(contains="word"),
        LogFilter(contains="entry"),
        LogFilter(contains="nowhere"),
        LogFilter(unit="t"),
        LogFilter(unit="t", contains="word", level=Level.WARNING),
    ],
)
def test_search_finds_what_one_look_would(
    service: TaskLog, store: Store, wanted: LogFilter
) -> None:
    for limit, after, before in product(
        (1, 3, 8, 1_000), (None, 0, 33, ENTRIES, 10_000), (None, 1, 50, 10_000)
    ):
        part = msgspec.structs.replace(wanted, after=after, before=before)
        with store.read() as connection:
            expected = log.newest_entries(connection, "one", limit, **msgspec.structs.asdict(part))
        assert service.entries("one", part, limit) == expected, (limit, after, before)


def test_search_that_is_given_up_ends_at_its_next_stretch(service: TaskLog) -> None:
    asked = iter([False, False, True])
    found = service.entries("one", LogFilter(contains="entry"), 1_000, lambda: next(asked))
    assert len(found) == 2 * task_log.SEARCHED_AT_ONCE


def test_search_ends_when_the_server_does(service: TaskLog) -> None:
    service.close()
    assert service.entries("one", LogFilter(contains="entry"), 1_000) == []
