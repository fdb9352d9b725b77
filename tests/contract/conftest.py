"""Fixtures of the contract: each test runs with the compiled loops, and without them."""

from __future__ import annotations

import pytest

from syncmon_ext.sync.routes import compiled
from tests.contract.pairs import pair
from tests.sync.databases import database

__all__ = ["database", "pair"]


@pytest.fixture(autouse=True, params=["loops", "python"])
def _implementation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    known = compiled.for_sqlite(), compiled.for_postgresql()  # asked once in a process, unpatched
    if request.param == "python":
        monkeypatch.setattr(compiled, "_loops", None)
    elif None in known:
        pytest.skip("the loops are not compiled here")
