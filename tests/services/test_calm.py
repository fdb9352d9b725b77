from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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


def test_calm_is_not_trusted_for_long(file: str) -> None:
    store = Store(file)
    calm = Calm(store)
    assert not calm.lasts()
    calm.note(watched=False)
    assert [calm.lasts() for _ in range(MOST_LEFT_OUT + 1)] == [True] * MOST_LEFT_OUT + [False]
    calm.close()
    store.close()


@contextmanager
def database(dialect: str, file: str) -> Iterator[str]:
    """The URL of a place for a store."""
    if dialect == "sqlite":
        yield file
    else:
        with postgres_database("store") as url:
            yield url


@pytest.mark.parametrize(
    ("dialect", "watched"), [("sqlite", True), ("postgresql", False), ("postgresql", True)]
)
def test_what_is_watched_and_a_database_server_are_always_looked_at(
    file: str, dialect: str, watched: bool
) -> None:
    with database(dialect, file) as url:
        store = Store(url)
        calm = Calm(store)
        for _ in range(3):
            assert not calm.lasts()
            calm.note(watched=watched)
        calm.close()
        store.close()
