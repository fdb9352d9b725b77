"""Canary passwords: wherever a run leads, they are found nowhere but where they were put."""

from __future__ import annotations

import base64
import json
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote, quote_plus

import httpx
import nbformat
import psutil
import pytest
from nbclient import NotebookClient
from psycopg import sql

from syncmon_ext.store import runs
from syncmon_ext.store.store import Store
from syncmon_widgets import connect
from tests.faults.own_server import OwnServer
from tests.server import JupyterServer

KINDS = ("env", "file", "keyring", "wrong")
CANARIES = {kind: f"c@n/ar%y#7f3q {kind}-{'x' * 8}" for kind in KINDS}
IN_URL = "p@ck/et%q#9z"  # where it must not stand
TASKS = (*KINDS[:3], "wrong", "closed", "unknown")
SECONDS = 90.0
NOTEBOOK = "canaries.ipynb"


def forms(secret: str) -> set[bytes]:
    """A secret as it may have been written: raw, escaped, percent-encoded, in base64."""
    texts = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret)}
    texts |= {json.dumps(text)[1:-1] for text in texts} | {repr(text)[1:-1] for text in texts}
    texts |= {text.replace("/", "\\/") for text in texts}
    texts.add(base64.b64encode(secret.encode()).decode())
    return {text.encode() for text in texts}


FORBIDDEN = {form for secret in (*CANARIES.values(), IN_URL) for form in forms(secret)}


def found_in(data: bytes) -> list[bytes]:
    return [form for form in FORBIDDEN if form in data]


class Watcher:
    """Reads the argument lists of all processes, over and over."""

    def __init__(self) -> None:
        self.caught: set[str] = set()
        self.looks = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(0.05):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):
                    data = path.read_bytes()
                    if found_in(data):
                        self.caught.add(data.decode("utf-8", "replace"))
            self.looks += 1


@pytest.fixture(scope="module")
def postgresql() -> Iterator[OwnServer]:
    """A PostgreSQL that asks the users of the canaries for their passwords."""
    own = OwnServer()
    for kind in KINDS:
        text = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
            sql.Identifier(f"user_{kind}"), sql.Literal(CANARIES[kind] if kind != "wrong" else "x")
        )
        own.handle.psql(text.as_string(None) + ";")
        own.handle.psql(f"CREATE DATABASE db_{kind} OWNER user_{kind};")
    rules = Path(own.folder) / "pg_hba.conf"
    names = ",".join(f"user_{kind}" for kind in KINDS)
    rules.write_text(f"local all {names} scram-sha-256\n{rules.read_text()}")
    own.handle.psql("SELECT pg_reload_conf();")
    yield own
    own.handle.cleanup()


def configuration(folder: Path, socket_folder: str, secrets: Path) -> str:
    references = {
        "env": '{ env = "CANARY_ENV" }',
        "file": f'{{ file = "{secrets / "password"}" }}',
        "keyring": '{ keyring = "syncmon/canary" }',
        "wrong": '{ env = "CANARY_WRONG" }',
    }
    parts = [f'[connections.source]\nurl = "sqlite:///{folder / "source.db"}"']
    for kind, reference in references.items():
        url = f"postgresql://user_{kind}@/db_{kind}?host={quote(socket_folder)}"
        parts.append(f'[connections.{kind}]\nurl = "{url}"\npassword = {reference}')
    parts.append(
        '[connections.closed]\nurl = "postgresql://etl@127.0.0.1:9/none"\n'
        'password = { env = "CANARY_ENV" }'
    )
    parts.append(
        '[connections.unknown]\nurl = "postgresql://etl@127.0.0.1:9/none?service=x"\n'
        'password = { env = "CANARY_ENV" }'
    )
    parts += [
        f'[tasks.{task}]\nsource = "source"\ntarget = "{task}"\ntables = ["t"]\nchunk_rows = 100'
        for task in TASKS
    ]
    return "\n".join(parts) + "\n"


@contextmanager
def canary_server(folder: Path, own: OwnServer) -> Iterator[JupyterServer]:
    """A server whose environment, files and keyring hold the canaries, outside of its folder."""
    secrets, home = folder / "secrets", folder / "home"
    secrets.mkdir()
    home.mkdir()
    (secrets / "password").write_text(CANARIES["file"] + "\n")
    (secrets / "keyring.py").write_text(
        f"def get_password(service, user):\n    return {CANARIES['keyring']!r}\n"
    )
    with sqlite3.connect(home / "source.db") as source:
        source.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)")
        source.executemany("INSERT INTO t VALUES (?, ?)", [(n, "x") for n in range(3_000)])
    source.close()
    (home / "syncmon.toml").write_text(configuration(home, own.folder, secrets))
    inherited = os.environ.get("PYTHONPATH", "")
    env = {
        "CANARY_ENV": CANARIES["env"],
        "CANARY_WRONG": CANARIES["wrong"],
        "SYNCMON_WORKER_LOGS": str(home / "workers"),
        "SYNCMON_RETRY_SECONDS": "1",
    }
    traits = {
        "SyncmonApp.config_file": home / "syncmon.toml",
        "ServerApp.log_level": "DEBUG",
    }
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(secrets), inherited])
    try:
        server = JupyterServer(home, traits=traits, env=env)
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    with server:
        yield server


def until_ended(client: httpx.Client, task: str) -> str:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        state = str(client.get(f"tasks/{task}/progress").json()["state"])
        if state in {"completed", "failed", "stopped", "paused"}:
            return state
        time.sleep(0.05)
    raise AssertionError(client.get(f"tasks/{task}/logs").text)


def everything(client: httpx.Client) -> Iterator[tuple[str, bytes]]:
    """All that the API tells, streams too."""
    paths = ["tasks", "connections", "openapi.json"]
    for task in TASKS:
        paths += [f"tasks/{task}{rest}" for rest in ("", "/progress", "/plan", "/runs", "/history")]
        paths += [f"tasks/{task}/logs?limit=1000"]
    for path in paths:
        yield path, client.get(path).content
    for name in TASKS:
        yield f"test {name}", client.post(f"connections/{name}/test").content
    for task in TASKS:
        for accept in ("text/csv", "application/x-ndjson"):
            answer = client.get(f"tasks/{task}/logs", headers={"Accept": accept})
            yield f"{task} {accept}", answer.content
        with client.stream("GET", f"tasks/{task}/stream") as stream, suppress(httpx.ReadTimeout):
            if stream.status_code == 200:
                data = b""
                for piece in stream.iter_bytes():
                    data += piece
                    if b"event: log" in data or b"event: end" in data:
                        break
                yield f"stream {task}", data


def test_no_secret_is_found_where_it_was_not_put(postgresql: OwnServer, tmp_path: Path) -> None:
    told: dict[str, bytes] = {}
    with Watcher() as watcher, canary_server(tmp_path, postgresql) as server:
        with server.client() as client:
            refused = client.post("tasks/unknown/start")  # its URL breaks a rule
            assert refused.status_code == 422
            told["refused"] = refused.content
            states = {}
            for task in TASKS[:-1]:
                told[f"start {task}"] = client.post(f"tasks/{task}/start").content
            for task in TASKS[:-1]:
                states[task] = until_ended(client, task)
            assert states == {
                **dict.fromkeys(("env", "file", "keyring"), "completed"),
                **dict.fromkeys(("wrong", "closed"), "failed"),
            }, client.get("tasks/keyring/logs").text
            run_notebook(server)
            crash(server, client)
            told |= dict(everything(client))
            with connect(server.url, server.token) as session:
                for name in TASKS:
                    task = session.task(name)
                    told[f"cell {name}"] = f"{task!r}{task._repr_mimebundle_()}".encode()
            write_broken(server)
            told["broken"] = client.get("tasks").content
            assert b"password" in told["broken"]
        server.stop()
    assert watcher.looks > 20
    assert watcher.caught == set()
    for what, data in told.items():
        assert found_in(data) == [], what
    put = tmp_path / "secrets" / "password"
    assert found_in(put.read_bytes()), "what is there is found"
    files = [path for path in server.folder.rglob("*") if path.is_file()]
    names = {path.name for path in files}
    assert {"store.db", "server.log", NOTEBOOK} <= names
    assert any(path.parent.name == "workers" for path in files)
    for path in files:
        if path.name != "syncmon.toml":  # the broken one holds one, as a person wrote it
            assert found_in(path.read_bytes()) == [], path


def crash(server: JupyterServer, client: httpx.Client) -> None:
    """Kill a worker in the middle of its run; another takes it over; then a defect, with traceback."""
    spec = {"source": "source", "target": "env", "chunk_rows": 100, "throttle": {"rows": 300}}
    table = {"name": "t", "target": "killed"}
    client.post("tasks", json={"task_id": "killed", **spec, "tables": [table]}).raise_for_status()
    run_id = client.post("tasks/killed/start").json()["run_id"]
    store = Store(server.store_url)
    deadline = time.monotonic() + SECONDS
    while client.get("tasks/killed/progress").json()["rows_committed"] == 0:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with store.read() as connection:
        owner = runs.lease(connection, run_id).owner
    store.close()
    assert owner is not None
    os.killpg(owner.pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(owner.pid)] if psutil.pid_exists(owner.pid) else [], 5)
    client.patch("tasks/killed/throttle", json={})
    assert until_ended(client, "killed") == "completed"
    # A defect of the worker itself: its traceback lands in the worker's output.
    server.stop()
    server.env["SYNCMON_FAULT"] = "swap.begin:1:error"
    server.start()
    assert client.post("tasks/file/start", json={"fresh": True}).status_code == 202
    until_ended(client, "file")
    client.post("tasks/file/stop")


def run_notebook(server: JupyterServer) -> None:
    """A person's notebook, run in a kernel that has the canaries in its environment, and saved."""
    cells = [
        "import os\nfrom syncmon_widgets import connect\n"
        "assert os.environ['CANARY_ENV'] and os.environ['CANARY_WRONG']\n"
        f"session = connect({server.url!r}, {server.token!r})",
        *(f"session.task({name!r})" for name in TASKS),
        *(f"session.task({name!r}).logs()" for name in ("env", "wrong", "closed")),
        "session.task('env').start().wait(60, check=True)",
        "session.task('env')",
        "session.task('wrong').start().wait(60, check=True)",
        "session.task('unknown').start()",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    resources = {"metadata": {"path": str(server.root)}}
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", allow_errors=True, resources=resources
    ).execute(env=server.env)
    nbformat.write(notebook, server.folder / NOTEBOOK)
    raised = {
        number: output.ename
        for number, cell in enumerate(notebook.cells)
        for output in cell.outputs
        if output.output_type == "error"
    }
    *_, wrong, unknown = range(len(cells))
    assert raised.keys() == {wrong, unknown}, raised
    assert raised[wrong] == "CopyFailed"
    text = (server.folder / NOTEBOOK).read_text()
    assert "text/html" in text
    assert "user_wrong" in text, "what PostgreSQL said of the password"


def write_broken(server: JupyterServer) -> None:
    """A file with a password in a URL: refused, and not repeated."""
    path = server.folder / "syncmon.toml"
    url = f"postgresql://etl:{quote(IN_URL, safe='')}@h/d"
    path.write_text(path.read_text() + f'[connections.bad]\nurl = "{url}"\n')
