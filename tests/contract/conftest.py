"""Fixtures of the contract: each test runs with the compiled loops, and without them."""

from __future__ import annotations

import pytest

from syncmon_ext.sync.routes import compiled
from tests.contract.pairs import pair
from tests.sync.databases import database

__all__ = ["database", "pair"]


@pytest.fixture(autouse=True, params=["loops", "python"])
def _implementation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "python":
        monkeypatch.setattr(compiled, "_loops", None)
    elif compiled.for_sqlite() is None or compiled.for_postgresql() is None:
        pytest.skip("the loops are not compiled here")
