"""Starts a worker that outlives its starter: own session, no terminal, its own log file."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from stat import S_ISDIR
from typing import IO, Final

from sqlalchemy.engine import URL

from syncmon_ext.model.errors import SyncmonError
from syncmon_ext.sync.standby import Assignment, Standby

STORE_VARIABLE: Final = "SYNCMON_STORE"  # not an argument: arguments are visible to every user
OUTPUT_VARIABLE: Final = "SYNCMON_WORKER_LOGS"
START_SECONDS: Final = 30.0
# What the worker's threads free goes back to the system: of the plan of 10,000 tables, as much again as it
# takes was kept by the C library, an arena for each thread. Read by glibc only; what is set already holds.
ALLOCATION: Final = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(2 << 20),  # above the buffers of the routes
    "MALLOC_TRIM_THRESHOLD_": str(4 << 20),
}


class WorkerNotStarted(SyncmonError):
    """The operating system did not start the worker."""

    code = "worker_not_started"
    status = 503


def _own_folder() -> Path:
    """The folder of this user in the one for temporary files, where others may have been first."""
    name = f"syncmon-{os.getuid()}"
    folder = Path(tempfile.gettempdir()) / name
    return folder if _is_private(folder) else _another_folder(name)


@cache
def _another_folder(name: str) -> Path:
    return Path(tempfile.mkdtemp(prefix=f"{name}-"))


def _is_private(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return False
    return S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077


def output_folder() -> Path:
    """Where workers write what they print: next to nothing, but a crash must leave a trace."""
    chosen = os.environ.get(OUTPUT_VARIABLE)
    if not chosen:
        return _own_folder()
    folder = Path(chosen).absolute()  # a worker that stands by is in no folder of its starter's
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def launch(store_url: URL, run_id: str, token: int, standby: Standby | None = None) -> None:
    """Start a worker for the run whose lease has ``token``, or give it to the one that stands by.

    A worker inherits this environment, and with it the secrets that the task's references name.
    Raises WorkerNotStarted.
    """
    environment = _environment(store_url)
    try:
        path = output_folder() / f"{run_id}.out"
        if standby is not None and standby.assign(Assignment(run_id, token), path, environment):
            return
        with path.open("ab") as output:
            _spawn([run_id, str(token)], environment, stdin=subprocess.DEVNULL, output=output)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WorkerNotStarted(
            f"no worker could be started for run {run_id}: {error}",
            hint="the run is taken up by the next server or command that can start one",
        ) from error
    except subprocess.CalledProcessError as error:
        raise WorkerNotStarted(
            f"the worker of run {run_id} ended with code {error.returncode} before it began",
            hint=f"see {output_folder() / f'{run_id}.out'}",
        ) from error


def stand_by(store_url: URL, standby: Standby) -> None:
    """Have a worker ready. Where none can be started, whoever launches one is told why."""
    environment = _environment(store_url)
    if standby.is_there(environment):
        return
    read, write = os.pipe()
    try:
        _spawn([], environment, stdin=read, output=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError):
        os.close(write)
    else:
        standby.take(write, environment)
    finally:
        os.close(read)


def _environment(store_url: URL) -> dict[str, str]:
    return {
        **ALLOCATION,
        **os.environ,
        STORE_VARIABLE: store_url.render_as_string(hide_password=False),
        # The worker must find the same packages as its starter, wherever that found them.
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }


def _spawn(
    arguments: list[str], environment: dict[str, str], *, stdin: int, output: int | IO[bytes]
) -> None:
    """Start a process that detaches itself and exits, so the worker has no parent that could take it along
    or leave it as a zombie."""
    subprocess.run(
        [sys.executable, "-m", "syncmon_ext.sync.worker", *arguments],
        stdin=stdin,
        stdout=output,
        stderr=output,
        cwd="/",
        env=environment,
        start_new_session=True,
        close_fds=True,
        timeout=START_SECONDS,
        check=True,
    )
