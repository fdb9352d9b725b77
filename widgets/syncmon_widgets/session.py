"""``connect``: the way to tasks, through this kernel's server or straight to the store."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

from syncmon_ext.model.errors import InvalidRequest, SyncmonError
from syncmon_widgets.backend import Backend
from syncmon_widgets.discovery import (
    LOCKED,
    Server,
    given_servers,
    locked_message,
    own_first,
    running_servers,
)
from syncmon_widgets.error_display import show_errors
from syncmon_widgets.handle import Task

if TYPE_CHECKING:
    import pandas as pd

    from syncmon_widgets.monitor import Monitor

STORE_VARIABLE: Final = "SYNCMON_STORE"
DEFAULT: Final = "default"


class NoServer(SyncmonError):
    """No Jupyter server with syncmon can be used from here."""

    code = "no_server"
    status = 503


class TaskList(list[Task]):
    """Tasks, shown as a table."""

    def _repr_html_(self) -> str:
        from syncmon_widgets.panel import task_list_html

        return task_list_html([task.read() for task in self])

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        from syncmon_widgets.panel import task_line

        lines = [task_line(task.read().progress) for task in self] if not cycle else ["…"]
        printer.text("\n".join(lines) or "no tasks yet: sm.create_task(…) makes one")


class Session:
    """Tasks, through one server or one store. Made by ``connect``."""

    def __init__(self, backend: Backend) -> None:
        self.backend: Final = backend

    def __repr__(self) -> str:
        return f"<syncmon on {self.backend.where}>"

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self.backend.close()

    def tasks(self) -> TaskList:
        """All tasks."""
        _settle()
        return TaskList(Task(self.backend, view.task_id) for view in self.backend.tasks())

    def task(self, task_id: str) -> Task:
        """The task with this id; raises TaskNotFound."""
        if not isinstance(task_id, str):
            raise InvalidRequest(
                f"the id of a task is a text, not {task_id!r}", hint="sm.tasks() lists the tasks"
            )
        _settle()
        self.backend.task(task_id)
        return Task(self.backend, task_id)

    def create_task(
        self, task_id: str, *, source: str, target: str, tables: list[Any], **options: Any
    ) -> Task:
        """Make a task that the store keeps.

        ``source`` and ``target`` are names of connections; a table is its name, or a dict with
        ``name`` and what differs from the usual. ``options`` are the others that a task has in
        ``syncmon.toml``, such as ``mode="append"`` and ``workers=4``. Raises TaskExists and
        InvalidConfig.
        """
        spec = {"source": source, "target": target, "tables": tables, **options}
        self.backend.create_task(task_id, spec)
        return Task(self.backend, task_id)

    def monitor(self) -> Monitor:
        """A live widget of all tasks."""
        from syncmon_widgets.monitor import Monitor

        return Monitor(backend=self.backend)

    def compare(self, run: tuple[str, str] | str, other: tuple[str, str] | str) -> pd.DataFrame:
        """Two runs side by side, a row for each figure; a run is its id, or (task id, run id).

        The beginning of an id will do, as a plot shows it, where no other run's begins so.
        """
        from syncmon_widgets.compare import compare

        return compare(self.backend, run, other)


def connect(
    url: str | None = None, token: str | None = None, *, store: str | None = None
) -> Session:
    """Find the Jupyter server of this kernel, and with it the tasks.

    ``url`` and ``token``, or ``SYNCMON_URL`` and ``SYNCMON_TOKEN``, name another server; ``url`` may be the
    address that Jupyter prints or a browser shows, with its token. ``store`` is
    the URL of a store to work on without a server, or "default". A server with a password lets no
    program in: then this works on the default store, and says so. Raises NoServer.
    """
    show_errors()
    if store is not None:
        return Session(_direct(store))
    given = given_servers(url, token)
    if given:
        return Session(_first_answering(given))
    found, reasons, locked = _find()
    if found is not None:
        return Session(found)
    if locked or os.environ.get(STORE_VARIABLE):
        direct = _direct(DEFAULT)
        _say(f"{_not_found(reasons)}. Working on {direct.where} instead: there is no live panel.")
        return Session(direct)
    raise NoServer(
        _not_found(reasons),
        hint="start Jupyter with syncmon, set SYNCMON_URL and SYNCMON_TOKEN, or use "
        'connect(store="default") to work without a server',
    )


def open_line() -> Backend:
    """Where the loops of this program are reported: its server, else the default store."""
    given = given_servers()
    if given:
        return _first_answering(given)
    found, _, _ = _find()
    return found or _direct(DEFAULT)


def _settle() -> None:
    """A loop of this program that has just begun, or ended, is seen as such."""
    if (reporting := sys.modules.get("syncmon_widgets.reporter")) is not None:
        reporting.settle()


def _find() -> tuple[Backend | None, list[str], bool]:
    """A server that answers; else why each one does not, and whether a password is the reason."""
    reasons: list[str] = []
    locked = False
    for server in own_first(running_servers()):
        if not server.lets_in:
            reasons.append(locked_message(server))
            locked = True
            continue
        try:
            return _answering(server), reasons, locked
        except SyncmonError as error:
            reasons.append(error.message)
            locked = locked or error.code == LOCKED
    return None, reasons, locked


def _first_answering(servers: list[Server]) -> Backend:
    """The first that has syncmon; raises what is wrong with the likeliest where none has."""
    first: SyncmonError | None = None
    for server in servers:
        try:
            return _answering(server)
        except SyncmonError as error:
            first = first or error
            if error.code != "no_syncmon":
                break
    assert first is not None  # noqa: S101  # there is a server
    raise first


def _answering(server: Server) -> Backend:
    from syncmon_widgets.client import Client

    client = Client(server)
    try:
        client.probe()
    except SyncmonError:
        client.close()
        raise
    return client


def _direct(store: str) -> Backend:
    from syncmon_ext.services.store_place import store_place
    from syncmon_widgets.direct import Direct

    return Direct(store_place().url if store == DEFAULT else store)


def _not_found(reasons: list[str]) -> str:
    why = "; ".join(reasons) or "none is running here"
    return f"no Jupyter server with syncmon found: {why}"


def _say(words: str) -> None:
    print(words, file=sys.stderr)
