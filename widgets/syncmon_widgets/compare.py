"""Two runs side by side."""

from __future__ import annotations

from typing import Any, Final

import pandas as pd

from syncmon_ext.model.errors import InvalidRequest, RunNotFound
from syncmon_ext.model.run import RunSummary
from syncmon_widgets.backend import Backend

FIGURES: Final = (
    "elapsed_seconds",
    "rows_committed",
    "bytes_committed",
    "total_tables",
    "completed_tables",
    "failed_tables",
)
SHOWN_RUNS: Final = 4  # of those that a hint names
Name = tuple[str, str] | str


def compare(backend: Backend, run: Name, other: Name) -> pd.DataFrame:
    """A row for each figure: the two runs, the difference and the ratio of the second to the first.

    Rates are over the running time, pauses excluded. Raises RunNotFound, and InvalidRequest where the
    beginning of an id is that of several runs.
    """
    first, second = (_find(backend, name) for name in (run, other))
    rows: list[tuple[str, Any, Any]] = [
        ("task_id", first.task_id, second.task_id),
        ("state", str(first.state), str(second.state)),
        ("started_at", first.started_at, second.started_at),
    ]
    rows += [(name, getattr(first, name), getattr(second, name)) for name in FIGURES]
    for name, count in (("speed", "rows_committed"), ("speed_bytes", "bytes_committed")):
        rows.append((name, _rate(first, count), _rate(second, count)))
    frame = pd.DataFrame(
        {first.run_id: [a for _, a, _ in rows], "other": [b for _, _, b in rows]},
        index=pd.Index([name for name, _, _ in rows], name="figure"),
        dtype=object,
    )
    frame.columns = pd.Index([first.run_id, second.run_id])
    frame["difference"] = [_difference(a, b) for _, a, b in rows]
    frame["ratio"] = pd.array([_ratio(a, b) for _, a, b in rows], dtype="Float64")
    return frame


def _find(backend: Backend, name: Name) -> RunSummary:
    if isinstance(name, tuple):
        tasks, run_id = [name[0]], name[1]
    else:
        tasks, run_id = [view.task_id for view in backend.tasks()], name
    if not run_id:
        raise InvalidRequest(
            "the id of a run is empty", hint="task.runs() lists the runs of a task"
        )
    found: list[RunSummary] = []
    for task_id in tasks:
        for summary in backend.runs(task_id):
            if summary.run_id == run_id:
                return summary
            if summary.run_id.startswith(run_id):
                found.append(summary)
    if len(found) > 1:
        raise InvalidRequest(
            f"{len(found)} runs begin with {run_id!r}",
            hint=f"give more of the id: {', '.join(s.run_id for s in found[:SHOWN_RUNS])}",
        )
    if not found:
        raise RunNotFound(
            f"there is no run {run_id!r}", hint="task.runs() lists the runs of a task"
        )
    return found[0]


def _rate(run: RunSummary, count: str) -> float | None:
    return getattr(run, count) / run.elapsed_seconds if run.elapsed_seconds else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def _difference(first: Any, second: Any) -> Any:
    return second - first if _is_number(first) and _is_number(second) else None


def _ratio(first: Any, second: Any) -> float | None:
    if not (_is_number(first) and _is_number(second)) or not first:
        return None
    return float(second / first)
