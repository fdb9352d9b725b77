"""A task as a list shows it: what it is, and how far it is."""

from __future__ import annotations

import msgspec

from syncmon_ext.model.progress import Progress
from syncmon_ext.model.state import State
from syncmon_ext.model.task import Kind, TaskSpec


class TaskView(msgspec.Struct, frozen=True, kw_only=True):
    """A task with its state and its progress: in a list without units."""

    task_id: str
    kind: Kind
    name: str
    origin: str
    read_only: bool
    spec: TaskSpec | None
    state: State
    progress: Progress
