"""syncmon itself: a task of a configuration, run by a real worker with store, checkpoints and monitor."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.usage import Cost, measured
from syncmon_ext.model.progress import Progress
from syncmon_ext.model.state import ENDED, State
from syncmon_ext.services.catalog import Catalog
from syncmon_ext.services.configuration import Configuration
from syncmon_ext.services.supervisor import Supervisor
from syncmon_ext.services.task_control import TaskControl
from syncmon_ext.store import snapshots, tasks
from syncmon_ext.store.store import Store

WATCH_SECONDS = 0.02


class TaskRun:
    """What a run left in the store."""

    def __init__(self) -> None:
        self.shares: dict[str, float] = {}
        self.limited_by: str | None = None


def run(
    source: str, target: str, tables: list[str], servers: list[int], **options: Any
) -> tuple[Cost, TaskRun]:
    """Run the task to its end; wall time from Start until the store says completed."""
    outcome = TaskRun()
    with tempfile.TemporaryDirectory(prefix="syncmon-bench-") as made:
        folder = Path(made)
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
        control = TaskControl(store, catalog, Supervisor(store))
        with measured(servers) as cost:
            started = time.perf_counter()
            control.start("copy")
            while (progress := _progress(store, catalog)).state not in {*ENDED, State.PAUSED}:
                outcome.limited_by = progress.limited_by or outcome.limited_by
                time.sleep(WATCH_SECONDS)
            cost.wall = time.perf_counter() - started
        store.close()
        if progress.state is not State.COMPLETED:
            errors = [unit.error for unit in progress.units if unit.error]
            raise RuntimeError(f"{progress.state}: {progress.error} {errors[:3]}")
    return cost, outcome


def _progress(store: Store, catalog: Catalog) -> Progress:
    with store.read() as connection:
        position = tasks.position(connection, "copy")
        assert position is not None and position.run_id is not None
        progress = snapshots.run_progress(connection, catalog.task("copy"), position.run_id)
    assert progress is not None
    return progress
