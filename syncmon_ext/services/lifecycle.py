"""The events that Jupyter's own event logger gets: a run's changes of state, after a schema."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from syncmon_ext.model.state import State
from syncmon_ext.store.announcements import Announcement

SCHEMA_ID: Final = "urn:syncmon:events:run:v1"
SCHEMA_PATH: Final = Path(__file__).parent / "event_schemas" / "run-v1.yaml"


def events(found: Announcement) -> list[dict[str, Any]]:
    """What a change of state says: one event, and before it what nobody was told of at its time."""
    happened = []
    if found.lost:
        happened.append("interrupted")
    elif found.before is None and found.state is not State.RUNNING:
        happened.append("started")
    now = "started" if found.state is State.RUNNING else str(found.state)
    return [_event(found, action) for action in [*happened, now]]


def _event(found: Announcement, action: str) -> dict[str, Any]:
    data: dict[str, Any] = {
        "action": action,
        "task_id": found.task_id,
        "run_id": found.run_id,
        "kind": found.kind,
        "resumed": action == "started" and (found.lost or found.before is not None),
        "rows_committed": found.rows_committed,
        "bytes_committed": found.bytes_committed,
        "total_tables": found.total_tables,
        "completed_tables": found.completed_tables,
        "failed_tables": found.failed_tables,
        "elapsed_seconds": found.elapsed_seconds,
        "started_at": found.started_at.isoformat(),
        "updated_at": found.updated_at.isoformat(),
    }
    if found.error_code is not None and action != "started":
        data["error_code"] = found.error_code
    return data
