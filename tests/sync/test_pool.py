"""The children in which jobs run: answers, errors, notices, deaths, pace."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from syncmon_ext.model.errors import CopyFailed, DatabaseUnavailable, SnapshotLost
from syncmon_ext.sync import attempts
from syncmon_ext.sync.attempts import attempted
from syncmon_ext.sync.phases import waiting_for
from syncmon_ext.sync.pool import ChildDied, ChildPool, Notice
from syncmon_ext.sync.throttle import Pacer

notices: list[Notice] = []


@pytest.fixture
def pool() -> Iterator[ChildPool]:
    notices.clear()
    pool = ChildPool(2, ["flights", "warehouse"], notices.append)
    yield pool
    pool.shutdown(cancel_futures=True)


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        time.sleep(0.01)


def pid() -> int:
    return os.getpid()


def pid_after(flag: Path) -> int:
    until(flag.exists)
    return os.getpid()


def fail() -> None:
    raise CopyFailed("table flights is odd", hint="mend it")


def fail_oddly() -> None:
    class Odd(Exception):
        pass

    raise Odd("cannot cross")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hang_in(connection: str) -> None:
    with waiting_for(connection):
        time.sleep(3600)


def unavailable_until(path: Path) -> str:
    with waiting_for("warehouse"):
        if not path.exists():
            raise DatabaseUnavailable("warehouse does not answer")
    return "answered"


def pace(rows: int) -> float:
    pacer = Pacer()
    began = time.monotonic()
    for _ in range(rows):
        pacer.spend(1, 10)
    return time.monotonic() - began


def test_job_answers_from_another_process(pool: ChildPool) -> None:
    assert pool.submit(pid).result(timeout=20) != os.getpid()


def test_error_keeps_its_class_message_and_hint(pool: ChildPool) -> None:
    with pytest.raises(CopyFailed, match="flights is odd") as caught:
        pool.submit(fail).result(timeout=20)
    assert caught.value.hint == "mend it"


def test_error_that_cannot_be_pickled_is_told_in_words(pool: ChildPool) -> None:
    with pytest.raises(RuntimeError, match="Odd: cannot cross"):
        pool.submit(fail_oddly).result(timeout=20)


def test_jobs_that_follow_each_other_are_done_by_one_child(pool: ChildPool) -> None:
    assert len({pool.submit(pid).result(timeout=20) for _ in range(20)}) == 1


def test_jobs_at_the_same_time_have_a_child_each_and_the_others_wait(
    pool: ChildPool, tmp_path: Path
) -> None:
    flags = [tmp_path / str(number) for number in range(5)]
    jobs = [pool.submit(pid_after, flag) for flag in flags]
    until(lambda: sum(job.running() for job in jobs) == 2)
    for flag in flags:
        flag.touch()
    assert len({job.result(timeout=20) for job in jobs}) == 2


def test_closed_pool_ends_what_was_submitted_and_takes_no_more() -> None:
    pool = ChildPool(1, ["flights"], notices.append)
    jobs = [pool.submit(pid) for _ in range(3)]
    pool.shutdown()
    assert len({job.result(timeout=0) for job in jobs}) == 1
    with pytest.raises(RuntimeError, match="closed"):
        pool.submit(pid)


def test_jobs_that_wait_are_cancelled_with_the_pool() -> None:
    pool = ChildPool(1, ["flights"], notices.append)
    first, second = pool.submit(hang_in, "flights"), pool.submit(pid)
    until(lambda: bool(pool.waits()))
    pool.shutdown(cancel_futures=True)
    assert isinstance(first.exception(), ChildDied)
    assert second.cancelled()


def test_last_job_of_a_child_takes_its_memory_along(pool: ChildPool) -> None:
    last = pool.submit_last(pid).result(timeout=20)
    deadline = time.monotonic() + 20
    while psutil.pid_exists(last) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not psutil.pid_exists(last)
    assert pool.submit(pid).result(timeout=20) != last


def test_death_of_a_child_fails_its_job_and_the_next_gets_a_new_child(pool: ChildPool) -> None:
    first = pool.submit(pid).result(timeout=20)
    with pytest.raises(ChildDied):
        pool.submit(die).result(timeout=20)
    assert pool.submit(pid).result(timeout=20)
    assert first != os.getpid()


def test_kill_ends_jobs_that_hang_and_the_wait_was_visible(pool: ChildPool) -> None:
    job = pool.submit(hang_in, "warehouse")
    until(lambda: bool(pool.waits()))
    assert pool.waits()[0][0] == "warehouse"
    pool.kill()
    wait([job], timeout=10)
    assert isinstance(job.exception(), ChildDied)
    until(lambda: not pool.waits())


def test_lost_database_is_tried_again_with_a_notice_and_a_visible_wait(
    pool: ChildPool, tmp_path: Path
) -> None:
    flag = tmp_path / "up"
    job = pool.submit(attempted, "flights", unavailable_until, flag)
    until(lambda: len(notices) >= 1)
    until(lambda: [name for name, _ in pool.waits()] == ["warehouse"])
    assert notices[0].label == "flights"
    assert "does not answer" in notices[0].message
    flag.touch()
    assert job.result(timeout=30) == "answered"
    assert notices[-1].over and "succeeded" in notices[-1].message


def test_each_try_is_counted_and_none_is_made_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []
    calls: list[int] = []
    monkeypatch.setattr(attempts, "tell", lambda _label, message, **_: told.append(message))
    monkeypatch.setattr(attempts, "FIRST_WAIT_SECONDS", 0.001)
    monkeypatch.setattr(attempts, "JITTER_SECONDS", 0.0)
    monkeypatch.setattr(attempts, "TELL_SECONDS", 0.0)

    def third_time_lucky(value: str) -> str:
        calls.append(len(calls))
        if len(calls) < 3:
            raise DatabaseUnavailable(f"warehouse is away {len(calls)}")
        return value

    assert attempted("flights", third_time_lucky, "copied") == "copied"
    assert len(calls) == 3
    assert [message.split(";")[0] for message in told] == [
        "try 1 failed: warehouse is away 1",
        "try 2 failed: warehouse is away 2",
        "try 3 succeeded: it goes on",
    ]


def test_an_outage_is_told_when_it_begins_then_ever_more_rarely(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    told: list[tuple[float, str]] = []
    calls: list[float] = []
    monkeypatch.setattr(attempts, "tell", lambda _label, said, **_: told.append((now, said)))
    monkeypatch.setattr(attempts, "FIRST_WAIT_SECONDS", 0.0001)
    monkeypatch.setattr(attempts, "LONGEST_WAIT_SECONDS", 0.0001)
    monkeypatch.setattr(attempts, "JITTER_SECONDS", 0.0)
    monkeypatch.setattr(attempts, "time", SimpleNamespace(monotonic=lambda: now))

    def back_after_two_minutes() -> str:
        nonlocal now
        calls.append(now)
        now += 1.0
        if now < 120.0:
            raise DatabaseUnavailable("warehouse is away")
        return "copied"

    assert attempted("flights", back_after_two_minutes) == "copied"
    assert len(calls) == 120
    assert [at for at, _ in told] == [1.0, 16.0, 46.0, 106.0, 120.0]
    assert told[-1][1] == "try 120 succeeded: it goes on"
    assert told[1][1].startswith("try 16 failed: warehouse is away;")


def test_a_snapshot_that_is_lost_is_not_tried_again() -> None:
    calls: list[int] = []

    def lost() -> None:
        calls.append(1)
        raise SnapshotLost("the snapshot is gone")

    with pytest.raises(SnapshotLost):
        attempted("flights", lost)
    assert len(calls) == 1


def test_rates_bound_a_running_job_and_change_while_it_runs(pool: ChildPool) -> None:
    pool.set_rates(200.0, 0.0)
    job = pool.submit(pace, 1_000)  # 5 s at this rate
    began = time.monotonic()
    until(lambda: time.monotonic() - began > 1.0)
    assert not job.done()
    pool.set_rates(0.0, 0.0)
    assert job.result(timeout=5) < 4.5


def test_children_end_with_the_pool(pool: ChildPool) -> None:
    children = [psutil.Process(pool.submit(pid).result(timeout=20))]
    pool.shutdown(cancel_futures=True)
    until(lambda: not any(child.is_running() for child in children))


def test_job_right_after_a_kill_gets_a_new_child(pool: ChildPool) -> None:
    for _ in range(5):
        job = pool.submit(hang_in, "flights")
        until(lambda: bool(pool.waits()))
        pool.kill()
        assert pool.submit(pid).result(timeout=20)
        assert isinstance(job.exception(timeout=20), ChildDied)


def test_what_waits_for_a_child_never_begins_once_all_are_killed(
    pool: ChildPool, tmp_path: Path
) -> None:
    """A table that was still to be put in place must not be so after the run was stopped."""
    never, made = tmp_path / "never", tmp_path / "made"
    held = [pool.submit(pid_after, never) for _ in range(2)]
    waiting = [pool.submit(made.touch) for _ in range(3)]
    pool.kill()
    assert pool.submit(pid).result(20) != os.getpid()
    wait([*held, *waiting], 20)
    assert all(isinstance(future.exception(0), ChildDied) for future in held)
    assert all(future.cancelled() for future in waiting)
    assert not made.exists()
