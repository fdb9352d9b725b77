"""The examinations of the doctor: each looks at one thing and gives what it found."""

from __future__ import annotations

import importlib.metadata
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import httpx

from syncmon_ext.cli.driver import DRIVER_HINT, driver_trouble
from syncmon_ext.cli.stream_probe import StreamProbe
from syncmon_ext.cli.workbench import Workbench
from syncmon_ext.model import words
from syncmon_ext.model.connection import Connection
from syncmon_ext.model.errors import InvalidConfig, SyncmonError
from syncmon_ext.model.state import ACTIVE
from syncmon_ext.services import probe
from syncmon_ext.store import runs
from syncmon_ext.store.filesystem import filesystem_of, is_network
from syncmon_ext.store.shown_url import masked
from syncmon_ext.sync import lease
from syncmon_ext.sync.engine_url import dialect, sqlite_path

EXTENSION: Final = "syncmon_ext"
OLDEST_SQLITE: Final = (3, 35, 0)  # RETURNING
LITTLE_SPACE: Final = 1 << 30  # bytes free below which a store or a log may fail soon
SERVER_SECONDS: Final = 3.0


class Finding(NamedTuple):
    """What an examination found: ✓ well, · to know, ! doubtful, ✕ wrong."""

    icon: str
    subject: str
    message: str
    hint: str = ""

    @property
    def is_wrong(self) -> bool:
        """Whether something must be mended."""
        return self.icon == "✕"


def findings(bench: Workbench, through: str = "", token: str = "") -> Iterator[Finding]:
    """What each examination found; one that fails is a finding itself.

    ``through`` is an address of a server as a browser has it, with the proxies on the way.
    """
    yield from _extension()
    yield from _servers()
    if through:
        found = _server(through if through.endswith("/") else f"{through}/", token)
        # It was asked for by name: not to reach it is no mere note.
        yield from (f if f.icon == "✓" else f._replace(icon="✕") for f in found)
    yield from _drivers()
    for subject, examine in (
        ("store", _store),
        ("configuration", _configuration),
        ("connection", _connections),
        ("worker", _workers),
    ):
        yield from _safely(subject, examine, bench)


def _safely(
    subject: str, examine: Callable[[Workbench], Iterator[Finding]], bench: Workbench
) -> Iterator[Finding]:
    try:
        yield from examine(bench)
    except SyncmonError as error:
        yield Finding("✕", subject, error.message, error.hint)


def _extension() -> Iterator[Finding]:
    from jupyter_core.paths import jupyter_config_path  # the server's own way to find it
    from jupyter_server.extension.config import ExtensionConfigManager

    manager = ExtensionConfigManager(read_config_path=jupyter_config_path())
    enabled = manager.get_jpserver_extensions().get(EXTENSION)  # type: ignore[no-untyped-call]  # untyped upstream
    if enabled:
        yield Finding("✓", "extension", f"{EXTENSION} is enabled in Jupyter Server")
    else:
        yield Finding(
            "✕",
            "extension",
            f"{EXTENSION} is not enabled in Jupyter Server",
            f"jupyter server extension enable {EXTENSION}",
        )


def _servers() -> Iterator[Finding]:
    from jupyter_server.serverapp import list_running_servers

    found = False
    for server in list_running_servers():
        found = True
        yield from _server(str(server["url"]), str(server.get("token") or ""))
    if not found:
        yield Finding("·", "server", "no Jupyter server of yours is running; none is needed")


def _server(url: str, token: str) -> Iterator[Finding]:
    found = _served(url, token)
    yield found
    if found.icon == "✓":
        probe = StreamProbe(url, token)
        trouble = probe.trouble()
        if trouble is None:
            yield Finding("✓", "stream", f"{url} sends events at once")
        else:
            yield Finding("✕", "stream", f"{url}: {trouble}", probe.hint)


def _served(url: str, token: str) -> Finding:
    try:
        answer = httpx.get(
            f"{url}api/v1/tasks",
            headers={"Authorization": f"token {token}"} if token else {},
            timeout=SERVER_SECONDS,
        )
    except httpx.InvalidURL as error:
        return Finding("!", "server", f"{url[:200]} is no address: {error}")
    except httpx.HTTPError as error:
        return Finding("!", "server", f"{url} does not answer ({type(error).__name__})")
    if answer.is_success:
        return Finding("✓", "server", f"{url} serves syncmon")
    if answer.status_code in (401, 403):
        return Finding(
            "·", "server", f"{url} asks for a password; syncmon cannot be seen from here"
        )
    if answer.status_code == 503:
        return Finding("!", "server", f"{url} serves syncmon, whose store cannot be used there")
    return Finding(
        "!", "server", f"{url} does not serve syncmon ({answer.status_code})", "restart that server"
    )


def _drivers() -> Iterator[Finding]:
    version = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        oldest = ".".join(str(part) for part in OLDEST_SQLITE)
        yield Finding("✕", "SQLite", f"version {version} is too old", f"{oldest} is needed")
    else:
        yield Finding("✓", "SQLite", f"version {version}")
    trouble = driver_trouble()
    if trouble is not None:
        yield Finding("✕", "PostgreSQL", trouble, DRIVER_HINT)
        return
    import psycopg

    found = importlib.metadata.version("psycopg")
    yield Finding("✓", "PostgreSQL", f"driver psycopg {found} ({psycopg.pq.__impl__})")


def _store(bench: Workbench) -> Iterator[Finding]:
    place = bench.place
    for trouble in place.troubles:
        yield Finding("!", "Jupyter", trouble, "correct it: a server leaves the whole file out")
    named_by = (
        f"named by {place.named_by}" if place.named_by else "nothing names another: the default"
    )
    yield Finding("·", "store", named_by)
    if place.is_relative:
        yield Finding(
            "!",
            "store",
            f"{masked(place.url)} is another file in each folder that a program is started in",
            "write its whole path",
        )
    store = bench.store
    name = store.shown_url
    with store.write():  # a transaction that can begin can write
        yield Finding("✓", "store", f"{name} can be written")
    if not store.is_sqlite:
        return
    path = Path(str(store.url.database)).absolute()
    kind = filesystem_of(path)
    with store.read() as connection:
        journal = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
    if is_network(kind):
        yield Finding(
            "!",
            "store",
            f"on a network filesystem ({kind}), without WAL (journal {journal}): slower",
            "keep it on a local disk, or in PostgreSQL where several machines share it",
        )
    else:
        yield Finding("✓", "store", f"on a local filesystem ({kind}), journal {journal}")
    free = shutil.disk_usage(path.parent).free
    if free < LITTLE_SPACE:
        yield Finding("!", "store", f"{words.size(free)} are free on its disk", "free some space")
    else:
        yield Finding("✓", "store", f"{words.size(free)} are free on its disk")


def _configuration(bench: Workbench) -> Iterator[Finding]:
    # Not bench.catalog, which tells an error on its own.
    path, error = bench.configuration.path, bench.configuration.error
    if error is not None:
        yield Finding("✕", "configuration", error.message, error.hint)
    elif path is None:
        places = ", ".join(str(place) for place in bench.configuration.places())
        yield Finding("·", "configuration", "there is no syncmon.toml", f"looked at: {places}")
    else:
        tasks = words.plural(len(bench.configuration.current().tasks), "task")
        yield Finding("✓", "configuration", f"{path}: {tasks}")


def _connections(bench: Workbench) -> Iterator[Finding]:
    config = bench.configuration.current()
    sources = {task.spec.source for task in config.tasks.values() if task.spec}
    for connection in config.connections.values():
        if connection.name not in sources and _is_missing_file(connection):
            where = f"{connection.name} ({masked(connection.url)})"
            yield Finding("·", "connection", f"{where}: the first copy makes the file")
            continue
        try:
            check = probe.check_connection(connection)
        except SyncmonError as error:
            yield Finding("✕", "connection", f"{connection.name}: {error.message}", error.hint)
            continue
        where = f"{connection.name} ({masked(connection.url)})"
        if check.ok:
            yield Finding("✓", "connection", f"{where}: {check.dialect} {check.version}")
        else:
            yield Finding("✕", "connection", f"{where}: {check.message}")


def _is_missing_file(connection: Connection) -> bool:
    try:
        return dialect(connection) == "sqlite" and not sqlite_path(connection).exists()
    except InvalidConfig:
        return False  # the test of the connection tells


def _workers(bench: Workbench) -> Iterator[Finding]:
    with bench.store.read() as connection:
        active = runs.runs_in(connection, ACTIVE)
    if not active:
        yield Finding("·", "worker", "no run is active")
    for run, held in active:
        name = f"{run.task_id} ({run.state})"
        if held.owner is None:
            yield Finding(
                "!",
                "worker",
                f"{name} has no worker",
                f"jupyter syncmon status {run.task_id} --watch",
            )
        elif not lease.is_here(held.owner):
            yield Finding("·", "worker", f"{name} is with a worker on {held.owner.host}")
        elif lease.process_of(held.owner) is None:
            yield Finding(
                "✕",
                "worker",
                f"{name} has lost its worker (process {held.owner.pid})",
                f"jupyter syncmon start {run.task_id} goes on from the checkpoints",
            )
        else:
            yield Finding("✓", "worker", f"{name} is with process {held.owner.pid}")
