from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from syncmon_ext.model.task import Throttle, ThrottleChange
from syncmon_ext.services.services import Services, Settings
from syncmon_ext.services.task_log import LogFilter
from syncmon_ext.store import runs
from syncmon_ext.store.store import Store
from tests.simulated import SimulatedRun


@pytest.fixture
def services(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Services:
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path))
    return Services(Settings(store_url=store.url.render_as_string(hide_password=False)))


def test_bound_that_is_absent_stays_and_null_lifts_it(services: Services, store: Store) -> None:
    run = SimulatedRun(store, "nightly")

    def patched(body: bytes) -> tuple[Throttle | None, list[str]]:
        services.control.change_throttle("nightly", msgspec.json.decode(body, type=ThrottleChange))
        entries = services.log.entries("nightly", LogFilter(), 100)
        with store.read() as connection:
            return runs.throttle(connection, run.run_id), [entry.message for entry in entries]

    both = Throttle(rows=500, bytes=2_000)
    log = ["throttled to 500 rows/s and 2,000 bytes/s"]
    assert patched(b"{}") == (None, [])
    assert patched(b'{"rows": 500, "bytes": 2000}') == (both, log)
    assert patched(b"{}") == (both, log)
    assert patched(b'{"rows": 500}') == (both, log)
    log.append("throttled to 2,000 bytes/s")
    assert patched(b'{"rows": null}') == (Throttle(bytes=2_000), log)
    log.append("no longer throttled")
    assert patched(b'{"bytes": null}') == (None, log)
    assert patched(b'{"rows": null, "bytes": null}') == (None, log)
