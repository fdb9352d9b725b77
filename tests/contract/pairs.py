"""Each pair of databases that a route connects, empty."""

from __future__ import annotations

import pytest

from syncmon_ext.sync.routes.registry import ROUTES
from tests.sync.databases import Database, Maker

PAIRS = sorted(tuple(name.split("_")) for name in ROUTES)
Pair = tuple[Database, Database]


@pytest.fixture(params=PAIRS, ids="-".join)
def pair(request: pytest.FixtureRequest, database: Maker) -> Pair:
    source, target = request.param
    return database(source), database(target)
