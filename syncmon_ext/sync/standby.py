"""A worker that is ready before there is a run for it: it has imported everything, and waits.

Importing takes a worker a quarter of a second, in which a person who pressed Start sees nothing happen.
"""

from __future__ import annotations

import json
import os
import select
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

STANDBY_SECONDS: Final = 3600.0  # its starter can be gone while another process keeps the pipe open
MESSAGE_BYTES: Final = 4096  # a pipe takes so much at once, or nothing


class Assignment(NamedTuple):
    """What a worker is there for."""

    run_id: str
    token: int


class Standby:
    """At most one worker that waits. Its end of a pipe tells it its run, or that nobody needs it."""

    def __init__(self) -> None:
        self._pipe: int | None = None
        self._environment: dict[str, str] = {}
        self._lock = threading.Lock()

    def take(self, pipe: int, environment: dict[str, str]) -> None:
        """Have the one that was started with ``environment`` and reads the other end of ``pipe``."""
        with self._lock:
            self._close()
            self._pipe, self._environment = pipe, environment

    def is_there(self, environment: dict[str, str]) -> bool:
        """Whether one waits that has this environment; another one is dismissed."""
        with self._lock:
            return self._is_there(environment)

    def assign(self, assignment: Assignment, output: Path, environment: dict[str, str]) -> bool:
        """Hand it the run; False where none waits, or one that has another environment."""
        message = json.dumps([*assignment, str(output)]).encode() + b"\n"
        with self._lock:
            if not self._is_there(environment) or len(message) > MESSAGE_BYTES:
                return False
            try:
                os.write(self._pipe, message)  # type: ignore[arg-type]  # it is there
            except OSError:  # it has died since
                return False
            finally:
                self._close()
        return True

    def dismiss(self) -> None:
        """End it, where there is one."""
        with self._lock:
            self._close()

    def _is_there(self, environment: dict[str, str]) -> bool:
        if self._pipe is None:
            return False
        poll = select.poll()
        poll.register(self._pipe, 0)  # tells nothing but that the other end is closed
        if environment != self._environment or poll.poll(0):
            self._close()
            return False
        return True

    def _close(self) -> None:
        if self._pipe is not None:
            with suppress(OSError):
                os.close(self._pipe)
        self._pipe = None


def awaited() -> Assignment | None:
    """In the worker: wait on standard input for the run; None where there will be none.

    What it prints from then on goes into the file of the run.
    """
    if not select.select([0], [], [], STANDBY_SECONDS)[0]:
        return None
    message = os.read(0, MESSAGE_BYTES)
    if not message:
        return None
    run_id, token, output = json.loads(message)
    nothing = os.open(os.devnull, os.O_RDONLY)
    printed = os.open(output, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    sys.stdout.flush()
    sys.stderr.flush()
    for opened, standard in ((nothing, 0), (printed, 1), (printed, 2)):
        os.dup2(opened, standard)
    os.close(nothing)
    os.close(printed)
    return Assignment(run_id, token)
