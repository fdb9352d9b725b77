"""Whether a worker lives, as an observer sees it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from syncmon_ext.model.run import Lease, Owner
from syncmon_ext.sync.lease import (
    LeaseWatch,
    boot_id,
    end_process,
    process_of,
    started,
    this_process,
)


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
        process_started=started(process.pid),
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


HOUR = 3_600.0


@pytest.mark.parametrize("jump", [-HOUR, HOUR, -1.0, 1.0])
def test_clock_that_jumps_makes_no_living_process_dead(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    # Linux keeps the start of a process relative to the boot, and moves the boot with the clock.
    owner = owner_of(sleeper)
    watch = LeaseWatch(lambda: 5.0)
    lease = Lease(run_id="r", token=1, owner=owner, heartbeat=1)
    assert not watch.is_dead(lease)
    now, boot = time.time, psutil.boot_time()
    monkeypatch.setattr(time, "time", lambda: now() + jump)
    monkeypatch.setattr(psutil, "boot_time", lambda: boot + jump)
    if sys.platform == "linux":
        monkeypatch.setattr(psutil._psplatform, "boot_time", lambda: boot + jump)
        assert abs(psutil.Process(sleeper.pid).create_time() - now() - jump) < 60
    assert process_of(owner) is not None
    assert not watch.is_dead(lease)


def test_start_of_a_process_is_told_whatever_its_name(tmp_path: Path) -> None:
    odd = tmp_path / "a ) 1 2 (b"
    odd.symlink_to("/bin/sleep")
    child = subprocess.Popen([str(odd), "600"])
    try:
        assert abs(started(child.pid) - started(os.getpid())) < 3_600
        assert started(child.pid) >= started(os.getpid())
    finally:
        child.kill()
        child.wait()


def test_frozen_process_is_ended(sleeper: subprocess.Popen[bytes]) -> None:
    owner = owner_of(sleeper)
    os.kill(sleeper.pid, signal.SIGSTOP)
    end_process(owner)
    assert process_of(owner) is None
