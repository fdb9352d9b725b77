"""kill -9 at every named point and at random moments: no row lost, none doubled, none changed.

``make test`` runs a seeded selection of points, routes and modes; ``make faults`` each with each.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from syncmon_ext.model.state import ENDED, State
from syncmon_ext.sync.faults import POINTS
from tests.faults.harness import ROUTES, ROWS, Rig, rig

LONG = os.environ.get("SYNCMON_FAULTS") == "long"
# The points that a run passes, in its order; those of a row are in one run, one after the other, each in
# the worker that resumes after the one before. No more than three: so often a run is taken over.
IN_ORDER = (
    ("store.acquired", "plan.begin", "plan.done"),
    ("store.plan_recorded", "store.target_held", "claim.begin"),
    ("claim.before_commit", "claim.after_commit", "snapshot.taken"),
    ("batch.begin", "batch.landed", "batch.placed"),
    ("batch.before_commit", "batch.after_commit"),
    ("prepare.before_commit", "prepare.after_commit", "walk.begin"),
    ("chunk.begin", "chunk.read", "chunk.written"),
    ("chunk.before_commit", "chunk.after_commit", "chunk.returned"),
    ("store.before_commit", "store.chunk_recorded", "index.before_commit"),
    ("index.after_commit", "verify.indexed", "verify.compared"),
    ("verify.before_commit", "verify.after_commit", "swap.begin"),
    ("swap.placed", "swap.before_commit", "swap.after_commit"),
    ("store.unit_recorded",),
    ("store.run_before_commit", "store.run_recorded"),
    ("forget.before_commit", "forget.after_commit", "store.released"),
)
# Points that only a stop reaches, and those that a run reaches after its end is recorded.
OF_A_STOP = ("discard.before_commit", "discard.after_commit")
AFTER_THE_END = (
    "store.run_recorded",
    "forget.before_commit",
    "forget.after_commit",
    "store.released",
)
SECOND = (
    "chunk.",
    "store.before_commit",
)  # so that something is committed that must not be copied again
RUNS, KILLS = (84, 3) if LONG else (4, 3)  # more than 200 random moments


def test_every_point_is_in_one_of_the_rows() -> None:
    assert sorted([*itertools.chain(*IN_ORDER), *OF_A_STOP]) == sorted(POINTS)


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
    if point.startswith("verify.") and way == "append-direct":
        return False  # such a copy cannot be verified by content
    if point.startswith("batch.") and not way.startswith("replace"):
        return False  # their tables are copied one by one
    return point != "snapshot.taken" or route.startswith("postgresql")


def case(points: Sequence[str], route: str, way: str) -> Any:
    passed = tuple(point for point in points if reached(point, route, way))
    return pytest.param(passed, route, way, id=f"{'+'.join(passed)}-{route}-{way}")


def cases() -> Iterator[Any]:
    """Every point with every route and way that pass it."""
    for points, (route, way) in itertools.product(IN_ORDER, MATRIX):
        if any(reached(point, route, way) for point in points):
            yield case(points, route, way)


def selected() -> Iterator[Any]:
    """Every point and every route and way at least once."""
    chance = random.Random(3)
    left = list(MATRIX)
    for points in IN_ORDER:
        pair = chance.choice([p for p in left if all(reached(point, *p) for point in points)])
        left.remove(pair)
        yield case(points, *pair)
    for pair in left:
        yield case(["swap.placed"], *pair)


@pytest.mark.parametrize(("points", "route", "way"), list(cases() if LONG else selected()))
def test_killed_at_fault_points_resumes_to_equal_content(
    points: tuple[str, ...],
    route: str,
    way: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def arm(point: str) -> Path:
        nth = 2 if point.startswith(SECOND) else 1
        monkeypatch.setenv("SYNCMON_FAULT", f"{point}:{nth}:kill")
        monkeypatch.setenv("SYNCMON_FAULT_ONCE", str(tmp_path / point))
        return tmp_path / point

    options = dict(WAYS[way].options)
    if any(point.startswith("verify.") for point in points):
        options["verify"] = "hash"
    if "store.chunk_recorded" in points:  # a run must last for a beat of the recorder
        options["throttle"] = {"rows": 1_000}
    with rig(tmp_path, route, **options) as it:
        it.audit()
        WAYS[way].before(it)
        fired = arm(points[0])
        it.control.start("nightly")
        for point, following in itertools.pairwise((*points, "")):
            ended = {*ENDED, State.PAUSED} if point not in AFTER_THE_END else set()
            it.until(lambda: fired.exists() or it.progress().state in ended, watch=False)  # noqa: B023
            assert fired.exists(), f"{point} was never reached: {it.messages()}"
            it.until_worker_is_gone()
            if following:
                fired = arm(following)
                it.supervisor.check()  # once, for one worker that knows of the point
        progress = it.until_ended()
        assert progress.state is State.COMPLETED, it.messages()
        it.assert_equal()
        it.assert_each_chunk_copied_once()
        assert progress.rows_committed == progress.rows_total == ROWS


@pytest.mark.parametrize("route", ROUTES if LONG else ROUTES[:1])
@pytest.mark.parametrize("point", OF_A_STOP)
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


@pytest.mark.parametrize("seed", range(RUNS))
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
        while kills < KILLS:
            it.until(lambda: it.owner() is not None or it.progress().state is State.COMPLETED)
            if it.owner() is None:
                break
            # Sooner each time, for the rows that are left.
            pause = time.monotonic() + chance.uniform(0.0, 1.8 / (1 + kills))
            it.until(lambda pause=pause: time.monotonic() > pause)  # type: ignore[misc]
            kills += it.signal_worker(signal.SIGKILL)
        record_property("kills", kills)
        assert kills > 0
        assert it.until_ended().state is State.COMPLETED, it.messages()
        it.assert_equal()
        it.assert_each_chunk_copied_once()
