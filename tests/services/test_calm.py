from __future__ import annotations

from pathlib import Path

import pytest

from syncmon_ext.services.calm import MOST_LEFT_OUT, Calm
from syncmon_ext.store.store import Store
from tests.databases import postgres_database, sqlite_url
from tests.simulated import SimulatedRun


@pytest.fixture
def file(tmp_path: Path) -> str:
    return sqlite_url(tmp_path / "store.db")


def test_looks_are_left_out_until_somebody_writes(file: str) -> None:
    store, other = Store(file), Store(file)
    calm = Calm(store)
    assert not calm.lasts(), "nobody has looked yet"
    calm.note(watched=False)
    assert calm.lasts()
    run = SimulatedRun(other, "one")
    assert not calm.lasts()
    assert not calm.lasts(), "the look that followed has not succeeded"
    calm.note(watched=False)
    assert calm.lasts()
    run.write("news")
    assert not calm.lasts()
    calm.close()
    other.close()
    store.close()


def test_what_is_watched_is_looked_at_each_time(file: str) -> None:
    store = Store(file)
    calm = Calm(store)
    for _ in range(3):
        assert not calm.lasts()
        calm.note(watched=True)
    calm.close()
    store.close()


def test_calm_is_not_trusted_for_long(file: str) -> None:
    store = Store(file)
    calm = Calm(store)
    assert not calm.lasts()
    calm.note(watched=False)
    assert [calm.lasts() for _ in range(MOST_LEFT_OUT + 1)] == [True] * MOST_LEFT_OUT + [False]
    calm.close()
    store.close()


def test_database_server_is_always_looked_at() -> None:
    with postgres_database("store") as url:
        store = Store(url)
        calm = Calm(store)
        for _ in range(2):
            assert not calm.lasts()
            calm.note(watched=False)
        calm.close()
        store.close()
