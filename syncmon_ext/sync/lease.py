"""Who owns a run, and whether the owner still lives.

A worker counts its heartbeat up in the store. An observer decides with its own monotonic clock: a
counter that has stood still for LEASE_SECONDS of *that* clock has a dead owner. No wall clock takes
part, so a clock that jumps on either machine changes nothing. Where the owner is a process of this
very host, the operating system is asked, which answers at once.
"""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

import psutil

from syncmon_ext.model.run import Lease, Owner

HEARTBEAT_SECONDS: Final = 1.0
LEASE_SECONDS: Final = 20.0  # long beside a heartbeat: a busy disk must not cost a worker its run
_FROZEN: Final = {psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP}
END_SECONDS: Final = 1.5  # for a killed process to be gone; a command must answer within 2 s


@cache
def boot_id() -> str:
    """Tells one boot of this host, or container, from the next: pids start again after it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""  # there, a process's start tells boots apart


def started(pid: int) -> float:
    """When a process began, as seconds that no change of the clock moves; raises psutil.Error.

    psutil's own create_time is such on all systems but Linux, where it adds the time of the boot, and
    that moves with the clock: a worker would seem to be another process, and its run be taken over.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except FileNotFoundError:
        return psutil.Process(pid).create_time()
    # proc_pid_stat(5): field 22, in ticks since the boot; the name before it may hold spaces.
    ticks = int(stat.rpartition(b")")[2].split()[19])
    return ticks / os.sysconf("SC_CLK_TCK")


def this_process() -> Owner:
    """This process as the owner of a run."""
    return Owner(
        host=socket.gethostname(),
        boot_id=boot_id(),
        pid=os.getpid(),
        process_started=started(os.getpid()),
    )


def is_here(owner: Owner) -> bool:
    """Whether the owner is, or was, a process of this host, so that the system can tell about it."""
    return owner.host == socket.gethostname()


def process_of(owner: Owner) -> psutil.Process | None:
    """The owner's process if it lives on this host; None where it is dead (a zombie is dead)."""
    if owner.boot_id != boot_id():
        return None
    try:
        process = psutil.Process(owner.pid)
        alive = abs(started(owner.pid) - owner.process_started) < 0.01
        return process if alive and process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.Error, OSError):
        return None


def is_frozen(owner: Owner | None) -> bool:
    """Whether the owner is a process of this host that was stopped, as by SIGSTOP or a debugger."""
    if owner is None or not is_here(owner):
        return False
    process = process_of(owner)
    try:
        return process is not None and process.status() in _FROZEN
    except psutil.Error:
        return False


def end_process(owner: Owner | None) -> None:
    """End a worker of this host that lost its run, with its children, before anyone takes over.

    It may be frozen with a transaction open, so only SIGKILL will do. Does nothing where it is dead, or
    of another host.
    """
    if owner is None or not is_here(owner):
        return
    process = process_of(owner)
    if process is None or process.pid == os.getpid():
        return
    doomed = [*process.children(recursive=True), process]
    for one in doomed:
        try:
            one.kill()
        except psutil.NoSuchProcess:
            continue
    deadline = time.monotonic() + END_SECONDS
    while any(map(_is_there, doomed)) and time.monotonic() < deadline:
        time.sleep(0.01)


def _is_there(process: psutil.Process) -> bool:
    # Orphans stay zombies where nobody asks for their end, as in many a container.
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


class LeaseWatch:
    """An observer's memory of heartbeats: when each counter was last seen to move."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._seen: dict[str, tuple[tuple[int, int], float]] = {}

    def is_dead(self, lease: Lease, lease_seconds: float = LEASE_SECONDS) -> bool:
        """Whether the run's worker is dead as far as this observer can tell now."""
        return self.silent_seconds(lease) > lease_seconds

    def silent_seconds(self, lease: Lease) -> float:
        """For how long this observer has seen the counter stand still; infinite where the process is gone."""
        owner = lease.owner
        if owner is not None and is_here(owner) and process_of(owner) is None:
            return math.inf
        mark, now = (lease.token, lease.heartbeat), self._monotonic()
        seen = self._seen.get(lease.run_id)
        if seen is None or seen[0] != mark:
            self._seen[lease.run_id] = (mark, now)
            return 0.0
        return now - seen[1]

    def forget(self, keep: set[str]) -> None:
        """Drop the memory of all runs but ``keep``."""
        self._seen = {run: seen for run, seen in self._seen.items() if run in keep}
