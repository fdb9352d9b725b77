"""kill -9 at every named point: no row lost, none doubled, none changed."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from syncmon_ext.model.state import State
from syncmon_ext.sync.faults import POINTS
from tests.faults.harness import ROUTES, rig

# Points that only a stop reaches.
OF_A_VERIFICATION = {"verify.compared", "verify.before_commit"}
OF_A_STOP = {"discard.before_commit", "discard.after_commit"}
LONG = os.environ.get("SYNCMON_FAULTS") == "long"
MODES = ("replace", "append", "merge", "incremental")
SWAPPING = ("swap.before_commit", "swap.after_commit", "chunk.before_commit")
CASES = [
    (point, route, mode)
    for number, point in enumerate(POINTS)
    if point not in OF_A_STOP
    for at, route in enumerate(ROUTES)
    for mode in MODES
    if LONG or (number % len(ROUTES) == at and number % len(MODES) == MODES.index(mode))
] + [
    (point, route, mode)
    for at, route in enumerate(ROUTES)
    for mode, point in zip(
        ("merge", "incremental"),
        (SWAPPING[at % len(SWAPPING)], SWAPPING[(at + 1) % len(SWAPPING)]),
        strict=True,
    )
    if not LONG
]


@pytest.mark.parametrize(("point", "route", "mode"), CASES)
def test_killed_at_a_fault_point_resumes_to_equal_content(
    point: str, route: str, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fired = tmp_path / "fired"
    monkeypatch.setenv("SYNCMON_FAULT", f"{point}:1:kill")
    monkeypatch.setenv("SYNCMON_FAULT_ONCE", str(fired))
    options: dict[str, Any] = {"verify": "hash"} if point in OF_A_VERIFICATION else {}
    if point == "store.chunk_recorded":  # a run must last for a beat of the recorder
        options["throttle"] = {"rows": 1_000}
    with rig(tmp_path, route, mode=mode, **options) as it:
        if mode in ("merge", "incremental"):
            it.make_old_target()
        it.control.start("nightly")
        progress = it.until_ended()
        assert progress.state is State.COMPLETED, it.messages()
        if point == "forget.after_commit":  # after the end: nothing is left to resume
            it.until(fired.exists)
        assert fired.exists(), f"{point} was never reached"
        it.assert_equal()
        assert progress.rows_committed == progress.rows_total == 1_540


@pytest.mark.parametrize("point", sorted(OF_A_STOP))
def test_killed_in_a_stop_is_stopped_by_the_next_worker(
    point: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNCMON_FAULT", f"{point}:1:kill")
    monkeypatch.setenv("SYNCMON_FAULT_ONCE", str(tmp_path / "fired"))
    with rig(tmp_path, "sqlite-sqlite", throttle={"rows": 300}) as it:
        it.control.start("nightly")
        it.until(lambda: it.progress().rows_committed > 100)
        it.control.stop("nightly")
        assert it.until_ended().state is State.STOPPED
        assert (tmp_path / "fired").exists()
        assert it.target.checkpoints() == {}
        assert it.target.leftovers() == []


@pytest.mark.parametrize("route", ROUTES)
def test_resume_copies_again_only_the_chunks_in_flight(
    route: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rig(tmp_path, route, throttle={"rows": 1_000}) as it:
        it.control.start("nightly")
        it.until(lambda: it.progress().rows_committed > 700)
        it.signal_worker(signal.SIGKILL)
        before = it.target.checkpoints()
        assert len(before) >= 2
        # The next worker stops short of the swap, so that its checkpoints can be read.
        monkeypatch.setenv("SYNCMON_FAULT", "swap.begin:1:freeze")
        monkeypatch.setenv("SYNCMON_FAULT_ONCE", str(tmp_path / "frozen"))
        it.until(lambda: (tmp_path / "frozen").exists())
        after = it.target.checkpoints()
        missing = {chunk for chunk in before if chunk[0] == "flights"} - set(after)
        again = {chunk for chunk in before if chunk in after and after[chunk] != before[chunk]}
        assert not missing
        assert not again, "a committed chunk was copied a second time"
        it.signal_worker(signal.SIGKILL)
        assert it.until_ended().state is State.COMPLETED
        it.assert_equal()


@pytest.mark.parametrize("seed", range(200 if LONG else 4))
def test_killed_at_random_moments(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    route = ROUTES[seed % len(ROUTES)]
    mode = chance.choice(MODES)
    with rig(tmp_path, route, mode=mode, flights=4_000, throttle={"rows": 2_500}) as it:
        if mode in ("merge", "incremental"):
            it.make_old_target()
        it.control.start("nightly")
        for _ in range(chance.randint(1, 3)):
            pause = time.monotonic() + chance.uniform(0.3, 2.0)
            it.until(lambda pause=pause: time.monotonic() > pause)  # type: ignore[misc]
            it.signal_worker(signal.SIGKILL)
        assert it.until_ended().state is State.COMPLETED, it.messages()
        it.assert_equal()
