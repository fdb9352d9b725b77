"""A Dask cluster of a test's own: a scheduler and workers, each a process that may be killed or frozen."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

START_SECONDS = 30.0
WITHOUT_SYNCMON = "import sys; sys.modules['syncmon_ext'] = None"  # for Dask's preload


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Cluster:
    """What `dask scheduler` and `dask worker` start; ``env`` is the workers' own.

    The scheduler cannot load syncmon: it needs only Dask. Each process is a group of its own: a fault
    point that kills, kills one of them.
    """

    def __init__(
        self,
        folder: Path,
        *,
        workers: int = 2,
        port: int = 0,
        protocol: str = "tcp",
        env: dict[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self._port = port
        self._file = folder / "dask-scheduler.json"
        self.workers: list[subprocess.Popen[bytes]] = []
        self._protocol = protocol
        self._count = workers
        self._env = env or {}
        self.start()

    def start(self) -> None:
        """Start all of it, where it was killed before; the scheduler itself finds a port that is free."""
        self._file.unlink(missing_ok=True)
        self.address = ""
        where = ["--host", "127.0.0.1", "--port", str(self._port), "--protocol", self._protocol]
        without = {"DASK_DISTRIBUTED__SCHEDULER__PRELOAD": repr([WITHOUT_SYNCMON])}
        told = ["--scheduler-file", str(self._file), "--no-dashboard"]
        self.scheduler = self._start("scheduler", [*where, *told], without)
        for _ in range(self._count):
            self.add_worker()
        deadline = time.monotonic() + START_SECONDS
        while not self.address:
            with suppress(OSError, ValueError):
                self.address = json.loads(self._file.read_text())["address"]
            assert time.monotonic() < deadline, self.output()
            time.sleep(0.05)
        self._port = self.port

    @property
    def port(self) -> int:
        """Where the scheduler listens."""
        return int(self.address.rpartition(":")[2])

    def add_worker(self, **env: str) -> None:
        """Start another worker, with two threads."""
        options = ["--no-nanny", "--nthreads", "2", "--no-dashboard"]
        options += ["--scheduler-file", str(self._file)]
        self.workers.append(self._start("worker", options, {**self._env, **env}))

    def _start(self, kind: str, options: list[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
        with (self.folder / f"dask-{kind}.out").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", kind, *options],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), **env},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def output(self) -> str:
        """What its processes have written."""
        return "".join(path.read_text() for path in self.folder.glob("dask-*.out"))

    def kill_workers(self) -> None:
        """SIGKILL every worker, as a machine does that loses its power."""
        while self.workers:
            self.kill_worker(0)

    def kill_worker(self, number: int) -> None:
        """SIGKILL one worker."""
        _end(self.workers.pop(number))

    def kill(self) -> None:
        """SIGKILL all of it."""
        self.kill_workers()
        _end(self.scheduler)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
