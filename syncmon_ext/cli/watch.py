"""Follows a task until it has ended, and keeps its run alive meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from syncmon_ext.cli.views import View
from syncmon_ext.cli.workbench import Workbench
from syncmon_ext.model.errors import StoreUnavailable
from syncmon_ext.model.log import LogEntry
from syncmon_ext.model.progress import Progress
from syncmon_ext.services.task_log import LogFilter
from syncmon_ext.store import tasks

POLL_SECONDS: Final = 0.25  # a person sees four pictures a second as live
CHECK_SECONDS: Final = 1.0  # between two looks at the workers
TROUBLE_SECONDS: Final = 60.0  # a store may be away as long before a command gives up
PAGE: Final = 500  # log entries at a time


def newest_seq(bench: Workbench, task_id: str) -> int:
    """The position of the newest log entry; 0 where there is none."""
    with bench.store.read() as connection:
        position = tasks.position(connection, task_id)
    return position.log_seq if position else 0


def entries_after(bench: Workbench, task_id: str, seq: int) -> list[LogEntry]:
    """The next page of the log behind ``seq``."""
    return bench.log.entries(task_id, LogFilter(after=seq), PAGE)


def follow(
    bench: Workbench,
    task_id: str,
    view: View,
    *,
    after: int,
    ends: Callable[[Progress], bool],
    each_turn: Callable[[], None] = lambda: None,
) -> Progress:
    """Show the task until ``ends``, with the log behind the position ``after``; its last progress.

    Runs that lost their worker, of any task, are taken over meanwhile.
    """
    trouble_since: float | None = None
    checked_at = float("-inf")
    while True:
        each_turn()
        now = time.monotonic()
        try:
            if now - checked_at >= CHECK_SECONDS:
                bench.supervisor.check()
                checked_at = now
            # First the progress, then the log: the entries up to its state are there by then.
            progress = bench.progress.progress(task_id)
            entries: list[LogEntry] = []
            while page := entries_after(bench, task_id, entries[-1].seq if entries else after):
                entries += page
            after = entries[-1].seq if entries else after
            trouble_since = None
        except StoreUnavailable as error:
            if trouble_since is None:
                trouble_since = now
                view.say(f"! {error.message}: trying again")
            elif now - trouble_since > TROUBLE_SECONDS:
                raise
        else:
            view.show(progress, entries)
            if ends(progress):
                return progress
        time.sleep(POLL_SECONDS)


def way(bench: Workbench, task_id: str) -> str:
    """``source → target`` of a copy; empty for a loop."""
    spec = bench.catalog.task(task_id).spec
    return f"{spec.source} → {spec.target}" if spec else ""
