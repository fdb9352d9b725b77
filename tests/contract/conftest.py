"""Each test of the contract runs with the compiled loops, and without them."""

from __future__ import annotations

import pytest

from syncmon_ext.sync.routes import compiled


@pytest.fixture(autouse=True, params=["loops", "python"])
def _implementation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "python":
        monkeypatch.setattr(compiled, "_loops", None)
    elif compiled.for_sqlite() is None or compiled.for_postgresql() is None:
        pytest.skip("the loops are not compiled here")
