from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from syncmon_ext.app import SyncmonApp
from syncmon_ext.model.run import Lease
from syncmon_ext.store import runs
from syncmon_ext.store.store import Store
from tests.api.conftest import make_server
from tests.databases import postgres_database
from tests.disks import fill_up, make_room
from tests.server import JupyterServer
from tests.simulated import SimulatedRun
from tests.sse import opened, seqs
from tests.store.make import make_newer_store


@pytest.mark.parametrize("what", ["no database", "no folder", "no URL", "no server", "newer"])
def test_broken_store_leaves_jupyter_alive_and_says_what_to_do(tmp_path: Path, what: str) -> None:
    (tmp_path / "file").write_text("this is no database, and long enough to be seen as none")
    url = {
        "no database": f"sqlite:///{tmp_path / 'file'}",
        "no folder": f"sqlite:///{tmp_path / 'file' / 'store.db'}",
        "no URL": "nonsense",
        "no server": "postgresql://nobody:canary-7f3@127.0.0.1:1/none",
        "newer": f"sqlite:///{tmp_path / 'newer.db'}",
    }[what]
    if what == "newer":
        make_newer_store(tmp_path / "newer.db")
    with make_server(tmp_path / "home", env={"SYNCMON_STORE": url}) as server:
        with server.client() as client:
            assert httpx.get(f"{server.url}api").status_code == 200, "Jupyter lives"
            for path in ("tasks", "tasks/nightly/progress", "stream", "tasks/nightly/stream"):
                answer = client.get(path)
                assert answer.status_code == 503, answer.text
                error = answer.json()["error"]
                assert error["message"]
                assert error["hint"]
                assert "Traceback" not in answer.text
                assert "canary-7f3" not in answer.text
        assert server.stop() < 15
    log = server.log.read_text()
    assert "Traceback" not in log
    assert "canary-7f3" not in log


def assert_told(server: JupyterServer, word: str) -> None:
    """Jupyter and the page are there, and every call says what is wrong and what to do."""
    with server.client() as client:
        assert httpx.get(f"{server.url}api").status_code == 200
        answer = client.get("tasks")
        assert answer.status_code == 503, answer.text
        error = answer.json()["error"]
        assert word in error["message"]
        assert error["hint"]
        assert client.get(f"{server.url}syncmon/").status_code == 200
    assert "Traceback" not in server.log.read_text()


def test_store_that_is_locked_is_told_and_used_when_it_is_free(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    Store(f"sqlite:///{path}").close()
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("PRAGMA journal_mode = DELETE")
        holder.execute("BEGIN EXCLUSIVE")
        env = {"SYNCMON_STORE": f"sqlite:///{path}"}
        with make_server(tmp_path / "home", env=env) as server:
            assert_told(server, "locked")
            holder.execute("ROLLBACK")
            with server.client() as client:
                assert client.get("tasks").status_code == 200


def test_store_on_a_full_disk_is_told_and_used_when_there_is_room(
    tmp_path: Path, small_disk: Path
) -> None:
    filler = fill_up(small_disk)
    env = {"SYNCMON_STORE": f"sqlite:///{small_disk / 'store.db'}"}
    with make_server(tmp_path / "home", env=env) as server:
        assert_told(server, "store")
        filler.unlink()
        make_room(small_disk, "20m")
        with server.client() as client:
            assert client.get("tasks").status_code == 200


def test_two_servers_over_one_store_are_one(tmp_path: Path) -> None:
    """Who starts, steers and resumes a run does not matter; there is one worker."""
    with postgres_database("shared") as on_postgresql:
        for number, url in enumerate((f"sqlite:///{tmp_path / 'shared.db'}", on_postgresql)):
            folder = tmp_path / str(number)
            make_server(folder)  # its configuration is for both
            with sqlite3.connect(folder / "source.db") as source:
                source.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)")
                source.executemany("INSERT INTO t VALUES (?, ?)", [(n, "x") for n in range(4_000)])
            source.close()
            servers = [
                make_server(
                    folder / name,
                    env={"SYNCMON_STORE": url},
                    traits={"SyncmonApp.config_file": folder / "syncmon.toml"},
                )
                for name in ("one", "two")
            ]
            with (
                servers[0] as one,
                servers[1] as two,
                one.client() as first,
                two.client() as second,
                closing(Store(url)) as store,
            ):
                share_a_run(first, second, store)


def share_a_run(first: httpx.Client, second: httpx.Client, store: Store) -> None:
    spec = {"source": "source", "target": "target", "tables": ["t"], "chunk_rows": 100}
    made = {"task_id": "shared", **spec, "throttle": {"rows": 500}}
    first.post("tasks", json=made).raise_for_status()
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda c: c.post("tasks/shared/start"), (first, second)))
    assert sorted(answer.status_code for answer in answers) == [202, 409]
    run_id = second.get("tasks/shared").json()["progress"]["run_id"]

    def lease() -> Lease:
        with store.read() as connection:
            return runs.lease(connection, run_id)

    owner = until(lambda: lease().owner)
    until(lambda: second.get("tasks/shared/progress").json()["rows_committed"] > 0)
    os.killpg(owner.pid, signal.SIGKILL)
    until(lambda: lease().token == 2)
    until(lambda: lease().owner)
    assert second.patch("tasks/shared/throttle", json={"rows": None}).status_code == 200
    until(lambda: first.get("tasks/shared/progress").json()["state"] == "completed")
    assert lease().token == 2, "both took the run over"
    assert second.get("tasks/shared/progress").json()["rows_committed"] == 4_000


def until(condition: Callable[[], Any]) -> Any:
    """Wait for something true, and give it."""
    deadline = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)
    return found


def test_store_that_is_mended_is_used_without_a_restart(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.write_text("a file where a folder should be")
    env = {"SYNCMON_STORE": f"sqlite:///{place / 'store.db'}"}
    with make_server(tmp_path / "home", env=env) as server, server.client() as client:
        assert client.get("tasks").status_code == 503
        place.unlink()
        assert client.get("tasks").status_code == 200


def test_broken_configuration_is_told_and_the_server_works(tmp_path: Path) -> None:
    server = make_server(tmp_path)
    (tmp_path / "syncmon.toml").write_text("[tasks.x]\nsource = 7\n")
    with server, server.client() as client:
        listed = client.get("tasks").json()
        assert listed["tasks"] == []
        assert "tasks.x" in listed["configuration_error"]["message"]


def test_working_directory_is_not_trusted(tmp_path: Path) -> None:
    text = '[connections.evil]\nurl = "sqlite:///evil.db"\n'
    for trusted, names in ((False, []), (True, ["evil"])):
        server = make_server(
            tmp_path / str(trusted),
            traits={"SyncmonApp.config_file": "", "SyncmonApp.trust_cwd": trusted},
        )
        (server.root / "syncmon.toml").write_text(text)
        with server, server.client() as client:
            found = client.get("connections").json()["connections"]
            assert [connection["name"] for connection in found] == names


def test_everything_works_below_a_base_url(tmp_path: Path) -> None:
    with make_server(tmp_path, base_url="/user/me/") as server, server.client() as client:
        assert server.api.endswith("/user/me/api/v1/")
        assert client.get("tasks").status_code == 200
        assert client.get("openapi.json").json()["servers"] == [{"url": "/user/me/api/v1"}]
        with opened(client, "tasks/nightly/stream") as reader:
            assert reader.next().name == "progress"
        assert httpx.get(f"http://127.0.0.1:{server.port}/api/v1/tasks").status_code == 404


def test_store_on_postgresql_is_served(tmp_path: Path) -> None:
    with (
        postgres_database("server") as url,
        make_server(tmp_path, env={"SYNCMON_STORE": url}) as server,
        server.client() as client,
    ):
        store = Store(url)
        run = SimulatedRun(store, "one")
        run.write("a", "b")
        with opened(client, "tasks/one/stream") as reader:
            assert seqs([reader.next("log")]) == [1, 2]
            run.write("c")
            assert seqs([reader.next("log")]) == [3]
        run.write(*("x" for _ in range(1_500)))
        with opened(client, "tasks/one/stream", reader.last_id) as reader:
            events = reader.until(lambda found: len(seqs(found)) >= 1_500)
        assert seqs(events) == list(range(4, 1_504))
        store.close()


def test_same_start_twice_is_one_run(tmp_path: Path) -> None:
    with make_server(tmp_path) as server, server.client() as client:
        with sqlite3.connect(tmp_path / "source.db") as connection:
            connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)")
            connection.executemany("INSERT INTO t VALUES (?, ?)", [(n, "x") for n in range(5_000)])
        connection.close()

        def start(_: int) -> httpx.Response:
            return client.post("tasks/nightly/start", headers={"Idempotency-Key": "the same"})

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(start, range(8)))
        assert [answer.status_code for answer in answers] == [202] * 8, [a.text for a in answers]
        assert len({answer.json()["run_id"] for answer in answers}) == 1
        with opened(client, "tasks/nightly/stream", timeout=60) as reader:
            events = reader.rest()
        assert events[-1].name == "end"
        assert events[-1].data["state"] == "completed", events[-1].data
        assert events[-1].data["rows_committed"] == 5_000
        assert len(client.get("tasks/nightly/runs").json()["runs"]) == 1
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: client.post("tasks/nightly/start"), range(8)))
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses[0] == 202
        assert set(statuses[1:]) <= {202, 409}
        with opened(client, "tasks/nightly/stream", timeout=60) as reader:
            reader.rest()


def below(root: Path) -> str:
    return f"c.SyncmonApp.sqlite_roots = [{str(root)!r}]"


def test_sqlite_files_are_opened_below_the_configured_folders(tmp_path: Path) -> None:
    with make_server(tmp_path, config=below(tmp_path)) as server, server.client() as client:
        sqlite3.connect(tmp_path / "source.db").execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        assert client.post("connections/source/test").json()["ok"]
        assert client.get("tasks/nightly/plan").status_code == 200


def test_sqlite_files_stay_below_the_configured_folders(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    with make_server(tmp_path, config=below(root)) as server, server.client() as client:
        refused = client.post("tasks/nightly/start")
        assert refused.status_code == 422, refused.text
        assert "SyncmonApp.sqlite_roots" in refused.json()["error"]["hint"]
        tested = client.post("connections/source/test").json()
        assert not tested["ok"]
        assert "folder" in tested["message"]
        assert client.get("tasks/nightly/plan").status_code == 422
        assert not (tmp_path / "target.db").exists()


def test_every_setting_has_help() -> None:
    for name, trait in SyncmonApp.class_own_traits(config=True).items():
        assert trait.help, name


def test_importing_the_package_loads_no_server() -> None:
    code = "import sys, syncmon_ext; sys.exit('tornado' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
