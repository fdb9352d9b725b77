"""The statements of the table ``progress_samples``: the history of a run, thinned as it grows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, insert, select

from syncmon_ext.model.sample import HistorySample
from syncmon_ext.store.columns import utc_now
from syncmon_ext.store.schema import progress_samples, runs

KEEP_SAMPLES: Final = 4_000  # of a run: at one a second the first hour stays whole

# What a sample takes from the run's totals.
SAMPLE_VALUES: Final = (
    "elapsed_seconds",
    "rows_committed",
    "bytes_committed",
    "overall_progress",
    "speed",
    "speed_bytes",
)

_FIELDS = [
    runs.c.task_id if name == "task_id" else progress_samples.c[name]
    for name in HistorySample.__struct_fields__
]

_INSERT = insert(progress_samples)
_EXTENT = select(func.coalesce(func.max(progress_samples.c.sample), 0), func.count()).where(
    progress_samples.c.run_id == bindparam("b_run_id")
)


def add_sample(
    connection: Connection,
    run_id: str,
    *,
    elapsed_seconds: float,
    rows_committed: int,
    bytes_committed: int,
    overall_progress: float | None,
    speed: float | None,
    speed_bytes: float | None,
    keep: int = KEEP_SAMPLES,
) -> None:
    """Add a point to a run's history, which is thinned when it holds more than ``keep``."""
    last, count = connection.execute(_EXTENT, {"b_run_id": run_id}).one()
    connection.execute(
        _INSERT,
        {
            "run_id": run_id,
            "sample": last + 1,
            "time": utc_now(),
            "elapsed_seconds": elapsed_seconds,
            "rows_committed": rows_committed,
            "bytes_committed": bytes_committed,
            "overall_progress": overall_progress,
            "speed": speed,
            "speed_bytes": speed_bytes,
        },
    )
    if count + 1 > keep:
        thin(connection, run_id)


def thin(connection: Connection, run_id: str) -> None:
    """Remove about a quarter of a run's samples, see ``superfluous``."""
    numbers = list(
        connection.scalars(
            select(progress_samples.c.sample)
            .where(progress_samples.c.run_id == run_id)
            .order_by(progress_samples.c.sample)
        )
    )
    doomed = superfluous(numbers)
    for start in range(0, len(doomed), 500):
        connection.execute(
            delete(progress_samples).where(
                progress_samples.c.run_id == run_id,
                progress_samples.c.sample.in_(doomed[start : start + 500]),
            )
        )


def superfluous(numbers: Sequence[int]) -> list[int]:
    """A quarter of ``numbers`` (ascending) that leave the smallest gaps when they go.

    The first one and the newest quarter stay, and of two neighbours one at most goes: however long a
    run lasts, its old samples lie evenly over all of its past.
    """
    old = len(numbers) * 3 // 4
    by_gap = sorted(range(1, old), key=lambda place: numbers[place + 1] - numbers[place - 1])
    doomed: set[int] = set()
    for place in by_gap:
        if len(doomed) >= len(numbers) // 4:
            break
        if place - 1 not in doomed and place + 1 not in doomed:
            doomed.add(place)
    return [numbers[place] for place in sorted(doomed)]


def history(connection: Connection, task_id: str, run_id: str | None) -> list[HistorySample]:
    """The samples of one run, or of all runs of a task, oldest first."""
    query = (
        select(*_FIELDS)
        .join(runs, runs.c.run_id == progress_samples.c.run_id)
        .where(runs.c.task_id == task_id)
        .order_by(runs.c.started_at, progress_samples.c.run_id, progress_samples.c.sample)
    )
    if run_id is not None:
        query = query.where(progress_samples.c.run_id == run_id)
    return [HistorySample(**row._mapping) for row in connection.execute(query)]
