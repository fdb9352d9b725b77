from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from syncmon_ext.store.store import Store
from tests.databases import postgres_database, sqlite_url


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a place for a store, which is empty: a test runs once with each database."""
    if request.param == "sqlite":
        yield sqlite_url(tmp_path / "store.db")
    else:
        with postgres_database("store") as url:
            yield url


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """A new store."""
    opened = Store(store_url)
    yield opened
    opened.close()
