"""A run: one execution of a task from a fresh start to its end."""

from __future__ import annotations

from datetime import datetime

import msgspec

from syncmon_ext.model.state import State
from syncmon_ext.model.task import TaskSpec, Throttle


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A run as the store keeps it. Times are UTC."""

    run_id: str
    task_id: str
    state: State
    spec: TaskSpec | None  # frozen when the run began; None for a loop
    fingerprint: str | None  # of the source's and target's schema, set by the plan
    token: int  # grows by one with each new owner
    throttle: Throttle | None
    consistency: str | None
    limited_by: str | None
    waiting_for: str | None  # the connection that does not answer
    elapsed_seconds: float  # pauses excluded, up to the last write
    takeovers: int  # resumed after a lost worker, since the last progress
    started_at: datetime
    finished_at: datetime | None
    updated_at: datetime
    error: str | None
    hint: str | None


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """Who executes a run: a process on a host, told apart from a later one with the same pid."""

    host: str
    boot_id: str  # of the host: a pid of before a reboot is dead
    pid: int
    process_started: float  # seconds, on a scale of the host's own that no clock moves


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """A run's ownership record. ``heartbeat`` is a counter; no wall clock decides about life."""

    run_id: str
    token: int
    owner: Owner | None
    heartbeat: int


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A past or present run in a list."""

    run_id: str
    task_id: str
    state: State
    started_at: datetime
    finished_at: datetime | None
    elapsed_seconds: float
    rows_committed: int
    bytes_committed: int
    total_tables: int
    completed_tables: int
    failed_tables: int
    error: str | None
