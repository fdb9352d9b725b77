"""The figures of a run that commits nothing for a while."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from syncmon_ext.sync import gauge
from syncmon_ext.sync.gauge import Gauge


def test_bad_rows_that_are_found_are_news_and_no_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    shown: dict[str, Any] = {}
    monkeypatch.setattr(gauge, "time", SimpleNamespace(monotonic=lambda: now))
    recorder: Any = SimpleNamespace(
        throttle=None, save_totals=lambda **values: shown.update(values)
    )
    pool: Any = None  # nothing is asked of it here
    found = Gauge(recorder, pool, slots=1, elapsed_seconds=0.0, overall_progress=None)
    found.in_flight = 1
    monkeypatch.setattr(gauge, "stalled_seconds", lambda _pace, elapsed: elapsed)
    now = 60.0
    found.refresh([], [("warehouse", 5.0)], force=True)
    assert shown["stalled_seconds"] == 60.0 and shown["waiting_for"] == "warehouse"
    found.move()
    found.refresh([], [("warehouse", 5.0)], force=True)
    assert shown["stalled_seconds"] == 0.0 and shown["waiting_for"] is None
    now = 80.0  # and then nothing for longer than the shortest stall
    found.refresh([], [("warehouse", 20.0)], force=True)
    assert shown["stalled_seconds"] == 10.0 and shown["waiting_for"] == "warehouse"
