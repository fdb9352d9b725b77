"""What a measured program costs: wall and CPU seconds, and the memory of its processes."""

from __future__ import annotations

import ctypes
import os
import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Final

import msgspec
import psutil

SUBREAPER: Final = 36  # prctl: orphans of our children become ours, so that their CPU is counted
SAMPLE_SECONDS: Final = 0.2
SERVER: Final = "postgres"
# Looking at the memory takes CPU time, the more so the more processes a program has: it has a run of its own.
_memory: ContextVar[bool] = ContextVar("memory", default=False)


class Cost(msgspec.Struct, kw_only=True):
    """One measured run."""

    wall: float = 0.0
    cpu: float = 0.0  # of the program and its children; databases in its process are part of it
    server_cpu: float = 0.0  # of both PostgreSQL servers
    peak_mib: float = 0.0  # summed proportional set size of the program's processes
    monitor_cpu: float = 0.0  # of the monitor in the worker
    watch_cpu: float = 0.0  # of who watches the store
    note: str = ""


def adopt_orphans() -> None:
    """Become the parent of detached workers: their CPU seconds are known once they are waited for."""
    ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)


@contextmanager
def measured(servers: list[int]) -> Iterator[Cost]:
    """The cost of the block and of every process that it started, once they all ended."""
    cost, memory = Cost(), _memory.get()
    done = threading.Event()
    watch = threading.Thread(target=_watch, args=(cost, done), daemon=True)
    before, server_before = _children_cpu(), _server_cpu(servers)
    started = time.perf_counter()
    if memory:
        watch.start()
    try:
        yield cost
    finally:
        cost.wall = cost.wall or time.perf_counter() - started
        _reap()
        done.set()
        if memory:
            watch.join()
        cost.cpu = _children_cpu() - before
        cost.server_cpu = _server_cpu(servers) - server_before


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _own_children() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if child.name() != SERVER:
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


def _reap(seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while children := _own_children():
        for child in children:
            try:
                os.waitpid(child.pid, os.WNOHANG)
            except ChildProcessError:
                continue
        if time.monotonic() > deadline:
            raise RuntimeError(f"processes were left: {children}")
        time.sleep(0.01)


def _server_cpu(servers: list[int]) -> float:
    """CPU seconds of the servers, of their running and of their ended backends."""
    total = 0.0
    for pid in servers:
        server = psutil.Process(pid)
        times = server.cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
        for backend in server.children(recursive=True):
            try:
                used = backend.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += used.user + used.system
    return total


def _watch(cost: Cost, done: threading.Event) -> None:
    while not done.wait(SAMPLE_SECONDS):
        pss = 0
        for child in _own_children():
            pss += _pss(child.pid)
        cost.peak_mib = max(cost.peak_mib, pss / 1024)


def _pss(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    except (OSError, ValueError):
        pass
    return 0


def interleaved(rounds: int, runs: dict[str, Callable[[], Cost]]) -> dict[str, list[Cost]]:
    """Each run once per round, the order turned by one each time, so that noise hits all alike.

    The round before the first is for the memory, and for files that the others then find in the cache.
    """
    names = list(runs)
    token = _memory.set(True)
    try:
        peaks = {name: _told(f"memory {name}", runs[name]()).peak_mib for name in names}
    finally:
        _memory.reset(token)
    costs: dict[str, list[Cost]] = {name: [] for name in names}
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            cost = _told(f"{number + 1}/{rounds} {name}", runs[name]())
            cost.peak_mib = peaks[name]
            costs[name].append(cost)
    return costs


def _told(name: str, cost: Cost) -> Cost:
    print(
        f"  {name:32} {cost.wall:7.2f} s  cpu {cost.cpu:6.2f}  server {cost.server_cpu:6.2f}  "
        f"{cost.peak_mib:5.0f} MiB",
        flush=True,
    )
    return cost
