"""A log of any length, written at once: nobody waits for a worker to say a million things."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import insert, update

from syncmon_ext.model.state import State
from syncmon_ext.store.columns import utc_now
from syncmon_ext.store.schema import log_entries, tasks
from syncmon_ext.store.store import Store
from tests.simulated import SimulatedRun

BATCH = 50_000
NEEDLE = 1_234  # the only line with this word: to find it, a search must read the whole log
WARNING_EVERY, ERROR_EVERY = 500, 5_000


def make_log(store: Store, task_id: str, entries: int) -> None:
    """A finished run whose log has so many entries."""
    run = SimulatedRun(store, task_id, ("flights", "planes"))
    began = utc_now() - timedelta(hours=5)
    for first in range(1, entries + 1, BATCH):
        rows = [
            {
                "task_id": task_id,
                "seq": seq,
                "run_id": run.run_id,
                "time": began + timedelta(milliseconds=10 * seq),
                "level": level_of(seq),
                "unit": "flights" if seq % 3 else "planes",
                "message": f"chunk ({seq * 100:,}, {seq * 100 + 100:,}] committed: 100 rows in 0.01 s"
                + (" needle" if seq == NEEDLE else " at last" if seq % 10 == 0 else ""),
            }
            for seq in range(first, min(first + BATCH, entries + 1))
        ]
        with store.write() as connection:
            connection.execute(insert(log_entries), rows)
    with store.write() as connection:
        connection.execute(update(tasks).where(tasks.c.task_id == task_id).values(log_seq=entries))
    run.become(State.COMPLETED)


def level_of(seq: int) -> str:
    """Some lines are more than information."""
    if seq % ERROR_EVERY == 0:
        return "error"
    return "warning" if seq % WARNING_EVERY == 0 else "info"
