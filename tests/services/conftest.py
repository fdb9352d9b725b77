from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from syncmon_ext.store.store import Store
from tests.databases import sqlite_url


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store in a SQLite file."""
    opened = Store(sqlite_url(tmp_path / "store.db"))
    yield opened
    opened.close()
