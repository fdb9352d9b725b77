"""The server, a command and a program of its kernels work on the same store, however that is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from syncmon_ext.services.configuration import CONFIG_VARIABLE
from syncmon_ext.sync.launcher import STORE_VARIABLE
from tests.api.conftest import CONFIG
from tests.databases import sqlite_url
from tests.server import JupyterServer

SEEN = """
import json
from syncmon_widgets import connect
with connect(store="default") as session:
    print(json.dumps([session.backend.where, [task.task_id for task in session.tasks()]]))
"""
Start = Callable[..., JupyterServer]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a server beside configuration files, which no variable tells of a store."""
    started = []

    def begin(files: dict[str, Any] | None = None, **options: Any) -> JupyterServer:
        server = JupyterServer(tmp_path / "home", **options)
        if STORE_VARIABLE not in options.get("env", {}):
            del server.env[STORE_VARIABLE]
        for name, said in (files or {}).items():
            path = server.folder / "config" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(
                json.dumps({"SyncmonApp": said})
                if name.endswith("json")
                else "".join(f"c.SyncmonApp.{trait} = {value!r}\n" for trait, value in said.items())
            )
        started.append(server.start())
        return server

    yield begin
    for server in started:
        server.stop()


def stores(server: JupyterServer, folder: Path) -> list[str]:
    """The files that are stores, after the server was asked for its tasks."""
    with server.client() as client:
        assert client.get("tasks").is_success
    return [str(path.relative_to(folder)) for path in folder.rglob("*.db")]


def kernels_environment(server: JupyterServer) -> dict[str, str]:
    """What a kernel of the server inherits, as a notebook shows it."""
    assert server.process is not None
    with server.client() as client:
        made = client.post(f"{server.url}api/kernels", json={}).json()
        children = psutil.Process(server.process.pid).children(recursive=True)
        (kernel,) = (it for it in children if any("ipykernel" in word for word in it.cmdline()))
        environment = kernel.environ()
        client.delete(f"{server.url}api/kernels/{made['id']}")
    return environment


def seen_by_a_program(environment: dict[str, str], folder: Path) -> tuple[str, list[str]]:
    """The store and the tasks that a program beside the server sees, in another folder than it."""
    done = subprocess.run(
        [sys.executable, "-c", SEEN],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    where, tasks = json.loads(done.stdout)
    return where, tasks


def doctor(environment: dict[str, str], folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "syncmon_ext.cli", "doctor"],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


@pytest.mark.parametrize(
    ("names", "wins"),
    [
        (["jupyter_server_config.d/a.json"], None),  # Jupyter takes no traits from there
        (["jupyter_server_config.py", "jupyter_server_config.json"], 1),
        (["jupyter_syncmon_ext_config.py", "jupyter_config.json"], 1),
        (["jupyter_server_config.py", "jupyter_syncmon_ext_config.json"], 0),
    ],
    ids=["folder", "json", "extension", "server"],
)
def test_configuration_files_name_one_store_for_all(
    start: Start, tmp_path: Path, names: list[str], wins: int | None
) -> None:
    files = {
        name: {"store_url": sqlite_url(tmp_path / f"{number}.db")}
        for number, name in enumerate(names)
    }
    server = start(files)
    wanted = "home/data/syncmon/store.db" if wins is None else f"{wins}.db"
    assert stores(server, tmp_path) == [wanted]
    url = sqlite_url(tmp_path / wanted)
    assert seen_by_a_program(server.env, tmp_path) == (f"the store {url}", [])
    told = doctor(server.env, tmp_path)
    assert f"{url} can be written" in told
    by = (
        "nothing names another: the default"
        if wins is None
        else f"in {server.folder / 'config' / names[wins]}"
    )
    assert by in told
    assert STORE_VARIABLE not in kernels_environment(server), "a kernel finds it by itself"


def test_variable_comes_before_the_configuration_files(start: Start, tmp_path: Path) -> None:
    (tmp_path / "tasks.toml").write_text(CONFIG)
    url = sqlite_url(tmp_path / "variable.db")
    server = start(
        {
            "jupyter_server_config.py": {
                "store_url": sqlite_url(tmp_path / "file.db"),
                "config_file": str(tmp_path / "none.toml"),
            }
        },
        env={STORE_VARIABLE: url, CONFIG_VARIABLE: str(tmp_path / "tasks.toml")},
    )
    assert stores(server, tmp_path) == ["variable.db"]
    assert seen_by_a_program(server.env, tmp_path) == (f"the store {url}", ["nightly"])
    assert "named by $SYNCMON_STORE" in doctor(server.env, tmp_path)
    log = server.log.read_text()
    for variable, trait in ((STORE_VARIABLE, "store_url"), (CONFIG_VARIABLE, "config_file")):
        assert f"${variable} is set, so SyncmonApp.{trait} of the configuration is not" in log


def test_command_line_comes_before_all_and_kernels_inherit_it(start: Start, tmp_path: Path) -> None:
    (tmp_path / "home/notebooks").mkdir(parents=True)
    (tmp_path / "home/notebooks/tasks.toml").write_text(CONFIG)
    server = start(
        {"jupyter_server_config.json": {"store_url": sqlite_url(tmp_path / "file.db")}},
        env={STORE_VARIABLE: sqlite_url(tmp_path / "variable.db")},
        traits={
            "SyncmonApp.store_url": "sqlite:///line.db",  # in the folder of the server
            "SyncmonApp.config_file": "tasks.toml",
        },
    )
    assert stores(server, tmp_path) == ["home/notebooks/line.db"]
    inherited = kernels_environment(server)
    url = sqlite_url(server.root / "line.db")
    assert inherited[STORE_VARIABLE] == url
    assert inherited[CONFIG_VARIABLE] == str(server.root / "tasks.toml")
    assert seen_by_a_program(inherited, tmp_path) == (f"the store {url}", ["nightly"])


def test_file_of_a_folder_that_is_trusted_is_inherited(start: Start, tmp_path: Path) -> None:
    (tmp_path / "home/notebooks").mkdir(parents=True)
    (tmp_path / "home/notebooks/syncmon.toml").write_text(CONFIG)
    server = start(traits={"SyncmonApp.trust_cwd": True})
    inherited = kernels_environment(server)
    assert inherited[CONFIG_VARIABLE] == str(server.root / "syncmon.toml")
    assert seen_by_a_program(inherited, tmp_path)[1] == ["nightly"]


def test_no_password_of_the_store_is_inherited(start: Start, tmp_path: Path) -> None:
    secret = "canary-7f3"
    server = start(
        traits={"SyncmonApp.store_url": f"postgresql://me:{secret}@127.0.0.1:1/d?password={secret}"}
    )
    inherited = kernels_environment(server)
    assert inherited[STORE_VARIABLE] == "postgresql://me@127.0.0.1:1/d"
    assert secret not in "".join(inherited.values())
    log = server.log.read_text()
    assert "without the password" in log
    assert secret not in log


def test_password_in_a_configuration_file_is_found_there(start: Start, tmp_path: Path) -> None:
    url = "postgresql://me:canary-7f3@127.0.0.1:1/d"
    server = start({"jupyter_server_config.json": {"store_url": url}})
    inherited = kernels_environment(server)
    assert STORE_VARIABLE not in inherited
    place = "from syncmon_ext.services.store_place import store_place; print(store_place().url)"
    found = subprocess.check_output([sys.executable, "-c", place], env=inherited, text=True)
    assert found == f"{url}{os.linesep}"
