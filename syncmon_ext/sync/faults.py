"""Named fault points: where the tests kill, stop or break a worker to prove that nothing is lost."""

from __future__ import annotations

import os
import signal
import time
from typing import Final

# SYNCMON_FAULT="<point>:<nth time it is reached>:<kill|freeze|error>" arms one point in the process
# that inherits it. SYNCMON_FAULT_ONCE names a file that is made when it fires, so that the worker that
# resumes does not fall over the same stone.
_ARMED: Final = os.environ.get("SYNCMON_FAULT", "")
_ONCE: Final = os.environ.get("SYNCMON_FAULT_ONCE", "")
_seen: dict[str, int] = {}

# Before and after each commit, and every step between; those that begin with "store." are in the
# worker's main process, all others in a child of it.
POINTS: Final = (
    "store.acquired",
    "plan.begin",
    "plan.done",
    "store.plan_recorded",
    "store.target_held",
    "claim.begin",
    "claim.before_commit",
    "claim.after_commit",
    "snapshot.taken",
    "prepare.before_commit",
    "prepare.after_commit",
    "walk.begin",
    "chunk.begin",
    "chunk.read",
    "chunk.written",
    "chunk.before_commit",
    "chunk.after_commit",
    "chunk.returned",
    "store.before_commit",
    "store.chunk_recorded",
    "batch.begin",
    "batch.landed",
    "batch.placed",
    "batch.before_commit",
    "batch.after_commit",
    "index.before_commit",
    "index.after_commit",
    "verify.indexed",
    "verify.compared",
    "verify.before_commit",
    "verify.after_commit",
    "swap.begin",
    "swap.placed",
    "swap.before_commit",
    "swap.after_commit",
    "store.unit_recorded",
    "store.run_before_commit",
    "store.run_recorded",
    "discard.before_commit",
    "discard.after_commit",
    "forget.before_commit",
    "forget.after_commit",
    "store.released",
)


class FaultInjected(Exception):  # it is not an error of ours
    """Raised at a point that is armed with ``error``."""


def fault_point(name: str) -> None:
    """Fire if ``name`` is the armed point and this is the time it was asked for; free otherwise."""
    if not _ARMED or not _ARMED.startswith(f"{name}:"):
        return
    _, nth, action = _ARMED.rsplit(":", 2)
    _seen[name] = _seen.get(name, 0) + 1
    if _seen[name] != int(nth):
        return
    if _ONCE:
        try:
            os.close(os.open(_ONCE, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
    if action == "kill":
        os.killpg(os.getpgrp(), signal.SIGKILL)  # the worker and its children, at one stroke
    elif action == "freeze":
        os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(0)
    else:
        raise FaultInjected(name)
