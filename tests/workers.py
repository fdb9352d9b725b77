"""The worker processes of a store, as the system shows them."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from syncmon_ext.sync.launcher import STORE_VARIABLE

WORKER = "syncmon_ext.sync.worker"


def workers(store_url: str) -> list[psutil.Process]:
    """Those that have a run."""
    return [process for process in _of_store(store_url) if not _waits(process)]


def standing_by(store_url: str, starter: int) -> list[psutil.Process]:
    """Those that wait for a run, and have detached themselves from the process ``starter``."""
    return [it for it in _of_store(store_url) if _waits(it) and it.ppid() != starter]


def _of_store(store_url: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if WORKER not in process.cmdline() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            of_ours = process.environ().get(STORE_VARIABLE) == store_url
            if of_ours and os.getpgid(process.pid) == process.pid:  # none of its children
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def _waits(process: psutil.Process) -> bool:
    """Whether it will be told its run through a pipe; one that has a run has let go of it."""
    try:
        return Path(f"/proc/{process.pid}/fd/0").readlink().name.startswith("pipe:")
    except OSError:  # it has ended
        return False
