from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from jupyter_server.auth import passwd

from syncmon_ext.model.errors import (
    InvalidConfig,
    InvalidRequest,
    RunNotFound,
    SyncmonError,
    TaskExists,
    TaskNotFound,
    WrongState,
)
from syncmon_ext.model.log import Level
from syncmon_ext.model.state import State
from syncmon_ext.store import log
from syncmon_ext.store.log import NewEntry
from syncmon_ext.store.store import Store
from syncmon_widgets import connect, discovery
from syncmon_widgets.address import addresses
from syncmon_widgets.backend import LogQuery
from syncmon_widgets.client import Client, ServerError
from syncmon_widgets.discovery import Server
from syncmon_widgets.session import NoServer, Session
from tests.api.conftest import CONFIG, make_server
from tests.server import JupyterServer
from tests.simulated import SimulatedRun

MANY = 200_000


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A program beside no server at all."""
    for name in ("SYNCMON_URL", "SYNCMON_TOKEN", "SYNCMON_STORE", "JPY_PARENT_PID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "config"))
    return monkeypatch


@pytest.fixture
def beside(server: JupyterServer, clean: pytest.MonkeyPatch) -> Iterator[Session]:
    """A session as a kernel of the server makes it."""
    clean.setenv("JUPYTER_RUNTIME_DIR", str(server.runtime))
    assert server.process is not None
    clean.setenv("JPY_PARENT_PID", str(server.process.pid))
    with connect() as session:
        yield session


def write_server(folder: Path, pid: int, **values: Any) -> None:
    folder.mkdir(exist_ok=True)
    info = {"pid": pid, "url": f"http://127.0.0.1:{pid}/", "token": "t", "sock": "", **values}
    (folder / f"jpserver-{pid}.json").write_text(json.dumps(info))


def test_servers_are_read_from_jupyter_s_files(tmp_path: Path) -> None:
    folder = tmp_path / "runtime"
    write_server(folder, os.getpid(), password=True, token="")
    write_server(folder, 2**22 + 1)  # no such process
    (folder / "jpserver-broken.json").write_text('{"pid": ')
    (folder / "jpserver-other.json").write_text("[1]")
    write_server(folder, 1, sock="/run/jupyter.sock", base_url="/a/")
    found = {server.pid: server for server in discovery.running_servers(folder)}
    assert found.keys() == {os.getpid(), 1}
    assert not found[os.getpid()].lets_in
    assert (found[1].socket, found[1].url) == ("/run/jupyter.sock", "http://localhost/a/")
    assert "secret" not in repr(discovery.Server(url="http://x/", token="secret"))
    own = discovery.own_first(list(found.values()), {"JPY_PARENT_PID": "1"})
    assert [server.pid for server in own] == [1]
    assert len(discovery.own_first(list(found.values()), {"JPY_PARENT_PID": "77"})) == 2


def test_no_server_is_said_clearly(clean: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        NoServer, match="no Jupyter server with syncmon found: none is running"
    ) as e:
        connect()
    assert "SYNCMON_URL" in e.value.hint


def test_named_server_that_does_not_answer(clean: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServerError, match="does not answer"):
        connect("http://127.0.0.1:1/", "token")


@pytest.mark.parametrize(
    ("text", "url", "token"),
    [
        ("http://localhost:8888/lab?token=tok", "http://localhost:8888/", "tok"),
        ("http://localhost:8888/?token=tok", "http://localhost:8888/", "tok"),
        ("https://h/base/lab/tree/a%20b/n.ipynb?reset", "https://h/base/", ""),
        ("https://h/base/lab/workspaces/auto-k/tree/lab", "https://h/base/", ""),
        ("http://127.0.0.1:8888/tree", "http://127.0.0.1:8888/", ""),
        ("http://h/notebooks/n.ipynb", "http://h/", ""),
        ("http://h/syncmon/#task=nightly", "http://h/", ""),
        ("https://hub/user/lab/lab/tree/n.ipynb", "https://hub/user/lab/", ""),
        ("https://hub/user/a@b%20c/", "https://hub/user/a@b%20c/", ""),
        ("localhost:8888", "http://localhost:8888/", ""),
        (" http://[::1]:8888/lab ", "http://[::1]:8888/", ""),
    ],
)
def test_pasted_address_is_taken_for_what_is_meant(text: str, url: str, token: str) -> None:
    found = addresses(text)[0]
    assert (found.url, found.token) == (url, token)


def test_secrets_of_an_address_are_not_shown(clean: pytest.MonkeyPatch) -> None:
    for text in (
        "http://me:s3cret@127.0.0.1:1/lab?token=s3cret",
        "ftp://me:s3cret@localhost/",
        "http://me:s3cret@localhost:port/",
        "http://me:s3cret@[::1/",
        "http://?token=s3cret",
    ):
        with pytest.raises(SyncmonError) as found:
            connect(text)
        told = "".join(traceback.format_exception_only(found.value))
        assert "s3cret" not in told + found.value.message + found.value.hint
    readings = addresses("http://me:s3cret@127.0.0.1:1/lab?token=s3cret")
    assert {(one.login, one.token) for one in readings} == {(("me", "s3cret"), "s3cret")}
    assert "s3cret" not in repr(readings)


def test_address_that_jupyter_prints(
    tmp_path: Path, clean: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with make_server(tmp_path / "server", base_url="/lab/", lab=True) as server:
        origin = f"http://127.0.0.1:{server.port}"
        for text in (
            f"{origin}/lab/lab?token={server.token}",  # the base URL has the name of a page
            f"{origin}/lab/tree/a.ipynb?token={server.token}",
        ):
            with connect(text) as session:
                assert [task.task_id for task in session.tasks()] == ["nightly"]
                assert session.backend.where == server.url
        # JupyterLab answers what it does not know below /lab with its own page.
        page = Client(Server(url=f"{server.url}lab/", token=server.token))
        with closing(page), pytest.raises(ServerError, match="is not where") as found:
            page.probe()
        assert "http://localhost:8888/" in found.value.hint
        clean.setenv("JUPYTER_RUNTIME_DIR", str(server.runtime))
        with connect(f"{server.url}lab") as session:  # its token stands in its file
            assert session.backend.where == server.url


def test_wrong_token_is_said(server: JupyterServer, clean: pytest.MonkeyPatch) -> None:
    clean.setenv("SYNCMON_URL", server.url)
    clean.setenv("SYNCMON_TOKEN", "wrong")
    with pytest.raises(ServerError, match="refused the request") as found:
        connect()
    assert found.value.code == "forbidden"
    assert "wrong" not in str(found.value)


def test_password_login_works_on_the_store(
    clean: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_server(tmp_path / "runtime", os.getpid(), password=True, token="")
    with connect() as session:
        assert session.backend.base_url is None
        assert list(session.tasks()) == []
    said = capsys.readouterr().err
    assert "lets people in by password" in said
    assert "Working on the store" in said


@pytest.fixture
def locked(tmp_path: Path, clean: pytest.MonkeyPatch) -> Iterator[Callable[..., JupyterServer]]:
    """Starts a server with a password beside this program; neither is told of a store."""
    started: list[JupyterServer] = []

    def start(**settings: str) -> JupyterServer:
        server = JupyterServer(tmp_path / "locked", token="")
        login = {"hashed_password": passwd("open", "sha256")}
        said = {"IdentityProvider": login, "SyncmonApp": settings}
        (server.folder / "config" / "jupyter_server_config.json").write_text(json.dumps(said))
        del server.env["SYNCMON_STORE"]
        for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR"):
            clean.setenv(name, server.env[name])
        started.append(server.start())
        assert server.process is not None
        clean.setenv("JPY_PARENT_PID", str(server.process.pid))
        return server

    yield start
    for server in started:
        server.stop()


def test_real_password_is_told_and_the_store_of_that_server_used(
    locked: Callable[..., JupyterServer], capsys: pytest.CaptureFixture[str]
) -> None:
    server = locked()
    with connect() as session:
        said = capsys.readouterr().err
        assert "lets people in by password, not programs" in said
        assert f"Working on the store sqlite:///{server.folder}/data/syncmon/store.db" in said
        assert list(session.tasks()) == []
    with pytest.raises(ServerError, match="by password") as found:
        connect(server.url)
    assert 'connect(store="default")' in found.value.hint


def test_store_is_found_where_the_server_is_told_of_it(
    locked: Callable[..., JupyterServer], tmp_path: Path
) -> None:
    (tmp_path / "tasks.toml").write_text(CONFIG)
    url = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    locked(store_url=url, config_file=str(tmp_path / "tasks.toml"))
    with connect() as session:
        assert session.backend.where == f"the store {url}"
        assert [task.task_id for task in session.tasks()] == ["nightly"]
    assert not (tmp_path / "locked" / "data" / "syncmon").exists()


@pytest.mark.parametrize("base_url", ["/", "/user/a@b%20c/"])
def test_server_without_token_is_used(
    clean: pytest.MonkeyPatch, tmp_path: Path, base_url: str
) -> None:
    with make_server(tmp_path / "server", token="", base_url=base_url) as server:
        clean.setenv("JUPYTER_RUNTIME_DIR", str(server.runtime))
        with connect() as session:
            assert [task.task_id for task in session.tasks()] == ["nightly"]
            made = session.create_task("made", source="source", target="target", tables=["t"])
            made.delete()


def test_errors_are_syncmon_s_own(beside: Session) -> None:
    with pytest.raises(TaskNotFound, match="there is no task 'nightli'") as found:
        beside.task("nightli")
    assert "nightly" in found.value.hint
    with pytest.raises(TaskExists):
        beside.create_task("nightly", source="source", target="target", tables=["t"])
    with pytest.raises(InvalidConfig, match="colour"):
        beside.create_task("a", source="source", target="target", tables=["t"], colour="red")
    with pytest.raises(WrongState):
        beside.task("nightly").pause()
    with pytest.raises(InvalidRequest, match="level"):
        beside.task("nightly").logs(level="loud")
    for limit in ("x", 0, 1.5):
        with pytest.raises(InvalidRequest, match="limit is"):
            beside.task("nightly").logs(limit=limit)  # type: ignore[arg-type]  # what is refused
    with pytest.raises(InvalidRequest, match="not None"):
        beside.task(None)  # type: ignore[arg-type]  # likewise
    with pytest.raises(RunNotFound):
        beside.task("nightly").history("nothing")


def test_frames_have_their_schema_when_empty(beside: Session) -> None:
    task = beside.create_task("empty", source="source", target="target", tables=["t"])
    logs, history, runs = task.logs(), task.history(), task.runs()
    assert (len(logs), len(history), len(runs)) == (0, 0, 0)
    assert list(logs.columns) == ["seq", "task_id", "run_id", "time", "level", "unit", "message"]
    assert str(logs["time"].dtype) == "datetime64[us, UTC]"
    assert str(logs["seq"].dtype) == "Int64"
    assert list(logs["level"].cat.categories) == [str(level) for level in Level]
    assert str(history["elapsed_seconds"].dtype) == "timedelta64[us]"
    assert str(history["rows_committed"].dtype) == "Int64"
    assert "interrupted" in runs["state"].cat.categories
    full = [task.progress(), task.units()]
    for frame in (logs, history, runs, *full):
        assert isinstance(frame, pd.DataFrame)
        table = pa.table(frame)  # through __arrow_c_stream__
        assert table.equals(frame.to_arrow())
        assert table.column_names == list(frame.columns)
    task.delete()


def test_schema_is_the_same_when_full(beside: Session, server: JupyterServer) -> None:
    store = Store(server.store_url)
    task = beside.create_task("full", source="source", target="target", tables=["t"])
    empty = [task.logs(), task.history(), task.runs(), task.progress(), task.units()]
    run = SimulatedRun(store, "full")
    run.write("a line")
    run.commit("t", 100)
    run.sample()
    run.become(State.COMPLETED)
    full = [task.logs(), task.history(), task.runs(), task.progress(), task.units()]
    for before, after in zip(empty, full, strict=True):
        assert len(after)
        assert list(before.dtypes) == list(after.dtypes)
    assert full[0]["message"].iloc[0] == "a line"
    store.close()


def test_many_entries_come_fast_and_whole(beside: Session, server: JupyterServer) -> None:
    store = Store(server.store_url)
    task = beside.create_task("long", source="source", target="target", tables=["t"])
    with store.write() as connection:
        from syncmon_ext.store import tasks

        stored = tasks.stored_task(connection, "long")
        assert stored is not None
        tasks.ensure_task(connection, stored)
        for start in range(0, MANY, 20_000):
            log.append(
                connection,
                "long",
                None,
                [
                    NewEntry(level=list(Level)[n % 4], message=f"entry {n} é🙂", unit="t")
                    for n in range(start, start + 20_000)
                ],
            )
    began = time.monotonic()
    frame = task.logs()
    seconds = time.monotonic() - began
    assert list(frame["seq"]) == list(range(1, MANY + 1))
    assert frame["message"].iloc[-1] == f"entry {MANY - 1} é🙂"
    assert seconds < 15, f"{MANY:,} entries took {seconds:.1f} s"
    assert list(task.logs(limit=3)["seq"]) == [MANY - 2, MANY - 1, MANY]
    assert list(task.logs(limit=5_000)["seq"]) == list(range(MANY - 4_999, MANY + 1))
    for query, wanted in (
        (LogQuery(after=500), range(501, 2_501)),  # the oldest, to read on
        (LogQuery(before=90_000), range(88_000, 90_000)),
        (LogQuery(after=500, before=90_000), range(88_000, 90_000)),
    ):
        assert beside.backend.logs("long", query, 2_000)["seq"].to_pylist() == [*wanted]
    errors = task.logs(limit=2_000, level="error")
    assert len(errors) == 2_000
    assert set(errors["level"]) == {"error"}
    assert task.logs(q="ENTRY 777 ")["seq"].tolist() == [778]
    task.delete()
    store.close()


def test_import_is_light() -> None:
    program = (
        "import sys, syncmon_widgets; from syncmon_widgets import connect, track, TaskStopped\n"
        "heavy = {'pandas', 'numpy', 'pyarrow', 'httpx', 'sqlalchemy', 'tornado', 'asyncio',"
        " 'jupyter_server', 'IPython', 'tqdm', 'anywidget', 'matplotlib', 'psutil'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
