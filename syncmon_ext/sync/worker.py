"""The worker: the process that executes one run, detached from whoever started it.

    python -m syncmon_ext.sync.worker [RUN_ID TOKEN]      (SYNCMON_STORE names the store)

Without a run it gets ready, and is told on its standard input which one it is. It takes the run's lease,
executes it to an end, a pause or a stop, records that, and exits. While it lives it is the only one that
writes for the run; when it dies, whoever notices starts another.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from typing import Final

DRAIN_SECONDS: Final = 8.0  # after SIGTERM; below the 10 s that service managers grant


def main() -> int:
    """Detach, so that the starter neither waits for the run nor takes it along, and execute it."""
    if os.fork() > 0:
        os._exit(0)  # the starter's child: its work is done
    os.setsid()
    gc.disable()  # nothing of what is imported is ever garbage: a tenth of the start is saved
    from syncmon_ext.sync import standby
    from syncmon_ext.sync.taking_up import execute, get_ready

    if sys.argv[1:]:
        assigned = standby.Assignment(sys.argv[1], int(sys.argv[2]))
    else:
        get_ready()
        waited = standby.awaited()
        if waited is None:
            return 0
        assigned = waited
    gc.freeze()  # nor looked through by the first collection, for 30 ms
    gc.enable()
    asked_to_end = threading.Event()

    def end(_signal: int, _frame: object) -> None:
        asked_to_end.set()
        # A worker that hangs in its last steps is ended by itself: its run is then taken over.
        watch = threading.Timer(DRAIN_SECONDS, lambda: os.killpg(os.getpgrp(), signal.SIGKILL))
        watch.daemon = True
        watch.start()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return execute(os.environ["SYNCMON_STORE"], *assigned, asked_to_end.is_set)


if __name__ == "__main__":
    sys.exit(main())
