"""A run is taken up: its lease, from whoever had it before, and then its execution."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from syncmon_ext.model.errors import StoreUnavailable
from syncmon_ext.model.state import ENDED
from syncmon_ext.store import runs
from syncmon_ext.store.store import Store
from syncmon_ext.sync import engine_url, forking
from syncmon_ext.sync.databases import postgresql
from syncmon_ext.sync.execution import Execution
from syncmon_ext.sync.faults import fault_point
from syncmon_ext.sync.lease import end_process, this_process
from syncmon_ext.sync.telling import tell_of_end

STORE_TRIES: Final = 20


def execute(store_url: str, run_id: str, token: int, must_end: Callable[[], bool]) -> int:
    """Execute the run whose lease has ``token``; the exit code says whether it was ours to do."""
    store = _open(store_url)
    with store.read() as connection:
        lease = runs.lease(connection, run_id)
        frozen = runs.frozen_run(connection, run_id)
        before = runs.run_state(connection, run_id)
    if lease.token != token:
        return 0  # somebody else was faster
    if "postgresql" in (engine_url.dialect(frozen.source), engine_url.dialect(frozen.target)):
        postgresql.load()
    forking.start_server()
    end_process(lease.owner)  # dead to the world, but perhaps only frozen
    with store.write() as connection:
        if not runs.acquire(connection, run_id, token, this_process()):
            return 0
    fault_point("store.acquired")
    execution = Execution(store, frozen, token + 1, must_end)
    execution.run()
    if before not in ENDED and not execution.fenced:
        tell_of_end(store, run_id)  # the end is recorded: nobody waits for this
    store.close()
    return 0


def get_ready() -> None:
    """Import what a run may need, before it is known which one it is."""
    postgresql.load()


def _open(store_url: str) -> Store:
    for attempt in range(STORE_TRIES):
        try:
            return Store(store_url)
        except StoreUnavailable:
            if attempt == STORE_TRIES - 1:
                raise
            time.sleep(0.5)
    raise AssertionError("unreachable")
