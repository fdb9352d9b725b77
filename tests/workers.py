"""The worker processes of a store, as the system shows them."""

from __future__ import annotations

from pathlib import Path

import psutil

from syncmon_ext.sync.launcher import STORE_VARIABLE

WORKER = "syncmon_ext.sync.worker"


def standing_by(store_url: str, starter: int) -> list[psutil.Process]:
    """Those that wait for a run, and have detached themselves from the process ``starter``."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cmdline()[-1:] != [WORKER] or process.ppid() == starter:
                continue
            # They are told their run through a pipe; one that has a run has let go of it.
            waits = Path(f"/proc/{process.pid}/fd/0").readlink().name.startswith("pipe:")
            if waits and process.environ().get(STORE_VARIABLE) == store_url:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found
