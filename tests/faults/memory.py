"""How much memory a worker takes, with all its processes."""

from __future__ import annotations

from contextlib import suppress

import psutil

from syncmon_ext.sync.lease import process_of
from tests.faults.harness import Rig


def peak_mib(it: Rig, peak: float) -> float:
    """The memory of the worker's processes now, or ``peak``: the sum of their proportional sets (PSS), in
    which a page that forks share is counted once."""
    owner = it.owner()
    worker = process_of(owner) if owner is not None else None
    if worker is None:
        return peak
    used = 0
    with suppress(psutil.Error):
        for process in (worker, *worker.children(recursive=True)):
            with suppress(psutil.Error):
                used += process.memory_full_info().pss
    return max(peak, used / 2**20)
