"""The children in which jobs run: answers, errors, notices, deaths, pace."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from pathlib import Path

import psutil
import pytest

from syncmon_ext.model.errors import CopyFailed, DatabaseUnavailable
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
    until(lambda: len(notices) >= 2)
    assert pool.waits()[0][0] == "warehouse"
    assert notices[0].label == "flights"
    assert "does not answer" in notices[0].message
    flag.touch()
    assert job.result(timeout=30) == "answered"


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
