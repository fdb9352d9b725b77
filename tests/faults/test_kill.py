"""kill -9 at every named point and at random moments: no row lost, none doubled, none changed.

``make test`` runs a seeded selection of points, routes and modes; ``make faults`` each with each.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from syncmon_ext.model.state import State
from syncmon_ext.sync.faults import POINTS
from tests.faults.harness import ROUTES, Rig, rig

LONG = os.environ.get("SYNCMON_FAULTS") == "long"
OF_A_VERIFICATION = {p for p in POINTS if p.startswith("verify.")}
# Points that only a stop reaches, and those that a run reaches after its end is recorded.
OF_A_STOP = {p for p in POINTS if p.startswith("discard.")}
AFTER_THE_END = {
    "store.run_recorded",
    "forget.before_commit",
    "forget.after_commit",
    "store.released",
}
ROWS = 1_540  # of the rig's three tables


class Way:
    """A way of landing: the task's options, and what stands in the target before."""

    def __init__(self, before: Callable[[Rig], None] | None = None, **options: Any) -> None:
        self.before = before or (lambda it: None)
        self.options = options


def empty_tables(it: Rig) -> None:
    it.make_old_target(rows=False)


def tables_with_a_view(it: Rig) -> None:
    it.make_old_target()
    it.target.execute("CREATE VIEW seen AS SELECT note FROM flights")


WAYS = {
    "replace": Way(mode="replace"),
    "replace-rename": Way(Rig.make_old_target, mode="replace"),
    "replace-move": Way(tables_with_a_view, mode="replace"),
    "append": Way(empty_tables, mode="append"),
    "append-direct": Way(mode="append", direct=True),
    "merge": Way(Rig.make_old_target, mode="merge"),
    "incremental": Way(Rig.make_old_target, mode="incremental"),
}
MATRIX = [
    (route, way)
    for route, way in itertools.product(ROUTES, WAYS)
    # A view of SQLite hangs on a name, and survives a rename.
    if not (way == "replace-move" and route.endswith("sqlite"))
]


def reached(point: str, route: str, way: str) -> bool:
    if point in OF_A_VERIFICATION and way == "append-direct":
        return False  # such a copy cannot be verified by content
    if point.startswith("batch.") and not way.startswith("replace"):
        return False  # their tables are copied one by one
    return point not in OF_A_STOP and (point != "snapshot.taken" or route.startswith("postgresql"))


CASES = [
    (point, route, way)
    for point, (route, way) in itertools.product(POINTS, MATRIX)
    if reached(point, route, way)
]


def selected() -> list[tuple[str, str, str]]:
    """Every point and every route and way at least once."""
    chance = random.Random(3)
    chosen: list[tuple[str, str, str]] = []
    left = list(MATRIX)
    for point in POINTS:
        pairs = [pair for pair in left or MATRIX if reached(point, *pair)]
        if pairs:
            pair = chance.choice(pairs)
            chosen.append((point, *pair))
            if pair in left:
                left.remove(pair)
    return chosen + [("swap.placed", *pair) for pair in left]


@pytest.mark.parametrize(("point", "route", "way"), CASES if LONG else selected())
def test_killed_at_a_fault_point_resumes_to_equal_content(
    point: str, route: str, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fired = tmp_path / "fired"
    monkeypatch.setenv("SYNCMON_FAULT", f"{point}:1:kill")
    monkeypatch.setenv("SYNCMON_FAULT_ONCE", str(fired))
    options = dict(WAYS[way].options)
    if point in OF_A_VERIFICATION:
        options["verify"] = "hash"
    if point == "store.chunk_recorded":  # a run must last for a beat of the recorder
        options["throttle"] = {"rows": 1_000}
    with rig(tmp_path, route, **options) as it:
        it.audit()
        WAYS[way].before(it)
        it.control.start("nightly")
        progress = it.until_ended()
        assert progress.state is State.COMPLETED, it.messages()
        if point in AFTER_THE_END:  # nothing is left to resume
            it.until(fired.exists)
        assert fired.exists(), f"{point} was never reached"
        it.assert_equal()
        it.assert_each_chunk_copied_once()
        assert progress.rows_committed == progress.rows_total == ROWS


@pytest.mark.parametrize("route", ROUTES if LONG else ROUTES[:1])
@pytest.mark.parametrize("point", sorted(OF_A_STOP))
def test_killed_in_a_stop_is_stopped_by_the_next_worker(
    point: str, route: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNCMON_FAULT", f"{point}:1:kill")
    monkeypatch.setenv("SYNCMON_FAULT_ONCE", str(tmp_path / "fired"))
    with rig(tmp_path, route, throttle={"rows": 300}) as it:
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
def test_killed_at_random_moments(
    seed: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    chance = random.Random(seed)
    route, way = MATRIX[(seed * 7) % len(MATRIX)]
    options = {"throttle": {"rows": 2_500}, **WAYS[way].options}
    with rig(tmp_path, route, flights=4_000, **options) as it:
        it.audit()
        WAYS[way].before(it)
        it.control.start("nightly")
        kills = 0
        for _ in range(chance.randint(1, 3)):
            it.until(lambda: it.owner() is not None or it.progress().state is State.COMPLETED)
            pause = time.monotonic() + chance.uniform(0.0, 1.8)
            it.until(lambda pause=pause: time.monotonic() > pause)  # type: ignore[misc]
            kills += it.signal_worker(signal.SIGKILL)
        record_property("kills", kills)
        assert it.until_ended().state is State.COMPLETED, it.messages()
        it.assert_equal()
        it.assert_each_chunk_copied_once()
