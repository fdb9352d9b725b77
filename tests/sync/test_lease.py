"""Whether a worker lives, as an observer sees it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import msgspec
import psutil
import pytest

from syncmon_ext.model.run import Lease, Owner
from syncmon_ext.sync.lease import LeaseWatch, boot_id, end_process, process_of, this_process


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


def owner_of(process: subprocess.Popen[bytes]) -> Owner:
    return Owner(
        host=this_process().host,
        boot_id=boot_id(),
        pid=process.pid,
        process_started=psutil.Process(process.pid).create_time(),
    )


def elsewhere(heartbeat: int) -> Lease:
    owner = Owner(host="another-host", boot_id="x", pid=1, process_started=0.0)
    return Lease(run_id="r", token=1, owner=owner, heartbeat=heartbeat)


def test_own_process_lives() -> None:
    assert process_of(this_process()) is not None


def test_killed_process_is_dead_at_once(sleeper: subprocess.Popen[bytes]) -> None:
    lease = Lease(run_id="r", token=1, owner=owner_of(sleeper), heartbeat=1)
    watch = LeaseWatch()
    assert not watch.is_dead(lease)
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)  # a zombie still has its pid
    assert watch.is_dead(lease)


def test_reused_pid_is_not_the_owner(sleeper: subprocess.Popen[bytes]) -> None:
    owner = msgspec.structs.replace(owner_of(sleeper), process_started=1.0)
    assert process_of(owner) is None


def test_pid_of_an_earlier_boot_is_dead(sleeper: subprocess.Popen[bytes]) -> None:
    assert process_of(msgspec.structs.replace(owner_of(sleeper), boot_id="before")) is None


def test_heartbeat_that_stands_still_is_dead_by_the_observers_clock() -> None:
    now = [100.0]
    watch = LeaseWatch(lambda: now[0])
    assert not watch.is_dead(elsewhere(1), lease_seconds=20)
    now[0] += 19
    assert not watch.is_dead(elsewhere(1), lease_seconds=20)
    now[0] += 2
    assert watch.is_dead(elsewhere(1), lease_seconds=20)
    assert not watch.is_dead(elsewhere(2), lease_seconds=20), "a beat gives it a new lease"


def test_wall_clock_takes_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = LeaseWatch(lambda: 5.0)
    watch.is_dead(elsewhere(1))
    monkeypatch.setattr(time, "time", lambda: 1e12)
    assert not watch.is_dead(elsewhere(1))


def test_frozen_process_is_ended(sleeper: subprocess.Popen[bytes]) -> None:
    owner = owner_of(sleeper)
    os.kill(sleeper.pid, signal.SIGSTOP)
    end_process(owner)
    assert process_of(owner) is None
