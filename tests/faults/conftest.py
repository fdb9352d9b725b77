"""Fixtures of the tests that break things."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import Cluster
from tests.faults.own_server import OwnServer


@pytest.fixture(scope="module")
def server() -> Iterator[OwnServer]:
    """A PostgreSQL that the tests of a module may freeze, stop and start again."""
    own = OwnServer()
    yield own
    own.handle.cleanup()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster of Dask with two workers."""
    with Cluster(tmp_path) as made:
        yield made
