"""Starts the fork server of a worker's children as a fork of the worker itself.

A fork server that Python starts imports everything again: about as much CPU time as a copy of 500,000
rows. The worker has imported it all, and has no threads yet when it forks. The tracker of shared resources,
which a fork server needs, comes the same way.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Sequence
from multiprocessing import forkserver, resource_tracker, util
from typing import Any


def start_server() -> None:
    """Start the server; before the first thread of this process."""
    gc.freeze()  # what is there now stays: its pages are shared for good
    spawn = util.spawnv_passfds
    util.spawnv_passfds = _fork  # type: ignore[assignment]  # only ever called with these
    try:
        resource_tracker.ensure_running()
        forkserver.ensure_running()
    finally:
        util.spawnv_passfds = spawn


def _fork(_path: object, arguments: Sequence[Any], passed: Sequence[int]) -> int:
    """Do in a fork what the new interpreter was to do: the last argument is its program."""
    pid = os.fork()
    if pid:
        return pid
    try:
        # A service manager tells the whole group to end: the scheduler drains, and ends the others itself.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        kept = sorted({0, 1, 2, *passed})
        for before, after in zip(kept, [*kept[1:], os.sysconf("SC_OPEN_MAX")], strict=True):
            os.closerange(before + 1, after)
        exec(arguments[-1], {})  # noqa: S102  # multiprocessing's own line
    finally:
        os._exit(1)
