"""syncmon itself: a task of a configuration, run by a real worker with store, checkpoints and monitor."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.usage import Cost, measured
from syncmon_ext.model.progress import Progress
from syncmon_ext.model.state import ENDED, State
from syncmon_ext.services.catalog import Catalog
from syncmon_ext.services.configuration import Configuration
from syncmon_ext.services.sse_pace import FASTEST_LOOK_SECONDS
from syncmon_ext.services.supervisor import Supervisor
from syncmon_ext.services.task_control import TaskControl
from syncmon_ext.store import snapshots, tasks
from syncmon_ext.store.changes import Changes
from syncmon_ext.store.store import Store

PUSH_SECONDS = 2.0  # between two events of a server, unless somebody has set another interval
READY_SECONDS = 1.0  # ample for the worker that a server has ready while somebody watches


HOOKS = Path(__file__).parent / "hooks"  # its sitecustomize is found by the worker
PLACES = ("source", "transfer", "target")


@contextmanager
def _hooked(notes: Path | None, monitor: Path | None, *, quiet: bool) -> Iterator[None]:
    """A worker's path and environment are its starter's."""
    settings = {
        "SYNCMON_BENCH_NOTES": notes,
        "SYNCMON_BENCH_MONITOR": monitor,
        "SYNCMON_BENCH_QUIET": "1" if quiet else None,
    }
    sys.path.insert(0, str(HOOKS))
    os.environ.update({name: str(value) for name, value in settings.items() if value is not None})
    try:
        yield
    finally:
        sys.path.remove(str(HOOKS))
        for name in settings:
            os.environ.pop(name, None)


def _shares(notes: Path) -> str:
    """Where the time of the chunks went."""
    lines = [line.split() for line in notes.read_text().splitlines()]
    sums = [sum(float(line[place]) for line in lines) for place in range(len(PLACES))]
    total = sum(sums)
    if not total:
        return ""
    chunks = "1 chunk" if len(lines) == 1 else f"{len(lines):,} chunks"
    parts = ", ".join(f"{name} {s / total:.0%}" for name, s in zip(PLACES, sums, strict=True))
    return f"{chunks}: {parts}"


def run(
    source: str,
    target: str,
    tables: list[str],
    servers: list[int],
    *,
    quiet: bool = False,
    noted: bool = True,
    cold: bool = False,
    **options: Any,
) -> Cost:
    """Run the task to its end; wall time from Start until the store says completed.

    ``noted``: its note tells where the time of the chunks went; else the monitor's own CPU time is counted.
    """
    with tempfile.TemporaryDirectory(prefix="syncmon-bench-") as made:
        folder = Path(made)
        notes = folder / "notes" if noted else None
        monitor = None if noted else folder / "monitor"
        os.environ["SYNCMON_WORKER_LOGS"] = str(folder)
        names = ", ".join(f'"{name}"' for name in tables)
        lines = [f"{key} = {value!r}" for key, value in options.items()]
        (folder / "syncmon.toml").write_text(
            f'[connections.a]\nurl = "{source}"\n[connections.b]\nurl = "{target}"\n'
            f'[tasks.copy]\nsource = "a"\ntarget = "b"\nmode = "replace"\ntables = [{names}]\n'
            + "\n".join(lines)
        )
        store = Store(f"sqlite:///{folder}/store.db")
        catalog = Catalog(store, Configuration(folder / "syncmon.toml"))
        supervisor = Supervisor(store)
        control = TaskControl(store, catalog, supervisor)
        with _hooked(notes, monitor, quiet=quiet), measured(servers) as cost:
            if not cold:
                supervisor.stand_by()
                time.sleep(READY_SECONDS)
            started = time.perf_counter()
            control.start("copy")
            watching = time.thread_time()
            progress = _until_it_ends(store, catalog)
            cost.watch_cpu = time.thread_time() - watching
            cost.wall = time.perf_counter() - started
        store.close()
        if progress.state is not State.COMPLETED:
            errors = [unit.error for unit in progress.units if unit.error]
            raise RuntimeError(f"{progress.state}: {progress.error} {errors[:3]}")
        if monitor is not None and monitor.exists():
            cost.monitor_cpu = sum(map(float, monitor.read_text().split()))
        if notes is not None and notes.exists():
            cost.note = _shares(notes)
            if progress.limited_by:
                cost.note += f"; limited by the {progress.limited_by}"
    return cost


def _until_it_ends(store: Store, catalog: Catalog) -> Progress:
    """Watch as the server does: ask for news all the time, read where the task stands when there are
    some, and its progress when its state is another or that of the last event is old."""
    news, never = Changes(store), threading.Event()
    state, told_at = None, float("-inf")
    try:
        while True:
            if not news.wait(never, FASTEST_LOOK_SECONDS):
                continue
            with store.read() as connection:
                position = tasks.position(connection, "copy")
                assert position is not None and position.run_id is not None
                if position.state is state and time.monotonic() - told_at < PUSH_SECONDS:
                    continue
                task = catalog.task("copy")
                progress = snapshots.run_progress(connection, task, position.run_id)
            assert progress is not None
            state, told_at = progress.state, time.monotonic()
            if state in {*ENDED, State.PAUSED}:
                return progress
    finally:
        news.close()
