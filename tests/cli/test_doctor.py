from __future__ import annotations

import json
import os
import re
import shutil
import signal

from syncmon_ext.model.state import State
from tests.cli.conftest import ROOT, Place, until


def enable(place: Place) -> None:
    """Enable the extension as an installation does."""
    target = place.folder / "jupyter/jupyter_server_config.d"
    target.mkdir(parents=True)
    shutil.copy(ROOT / "jupyter-config/jupyter_server_config.d/syncmon_ext.json", target)


def test_all_is_well(place: Place) -> None:
    enable(place)
    text = place.cli("doctor").stdout
    for line in (
        r"✓ extension +syncmon_ext is enabled",
        r"· server +no Jupyter server",
        r"✓ SQLite +version 3\.",
        r"✓ PostgreSQL +driver psycopg 3",
        r"✓ store +sqlite:///.* can be written",
        r"✓ store +on a local filesystem \(\w+\), journal wal",
        r"✓ configuration .*syncmon\.toml: 2 tasks",
        r"✓ connection +flights \(sqlite:///.*\): sqlite 3",
        r"· connection +copy \(sqlite:///.*\): the first copy makes the file",
        r"· worker +no run is active",
    ):
        assert re.search(f"^{line}", text, re.MULTILINE), (line, text)


def test_store_is_told_with_what_named_it(place: Place) -> None:
    enable(place)
    said = place.folder / "jupyter/jupyter_server_config.py"
    said.write_text(f"print('on its way')\nc.SyncmonApp.store_url = {place.store_url!r}\n")
    for words, variable, named_by in (
        ([], place.store_url, r"\$SYNCMON_STORE"),
        (["--store", "sqlite:///store.db"], "", "--store"),
        ([], "", re.escape(f"SyncmonApp.store_url in {said}")),
    ):
        text = place.cli("doctor", *words, SYNCMON_STORE=variable).stdout
        assert re.search(f"^· store +named by {named_by}$", text, re.MULTILINE), text
        assert f"{place.store_url} can be written" in text
        relative = "is another file in each folder that a program is started in" in text
        assert relative is bool(words)
    listed = place.cli("status", "--json", SYNCMON_STORE="").stdout
    assert [json.loads(line)["task_id"] for line in listed.splitlines()] == ["nightly", "slow"]


def test_configuration_of_jupyter_that_is_broken_is_told(place: Place) -> None:
    enable(place)
    said = place.folder / "jupyter/jupyter_server_config.py"
    said.write_text(f"c.SyncmonApp.store_url = {place.store_url!r}\nnonsense\n")
    text = place.cli("doctor", SYNCMON_STORE="").stdout
    assert f"{said} cannot be read: NameError: name 'nonsense' is not defined" in text
    assert re.search(r"^✓ store +sqlite:///.*data/syncmon/store\.db can be", text, re.MULTILINE)


def test_extension_that_is_not_enabled_is_wrong(place: Place) -> None:
    off = place.folder / "off/jupyter_server_config.d"
    off.mkdir(parents=True)
    (off / "syncmon_ext.json").write_text(
        json.dumps({"ServerApp": {"jpserver_extensions": {"syncmon_ext": False}}})
    )
    text = place.cli("doctor", code=1, JUPYTER_CONFIG_PATH=str(off.parent)).stdout
    assert re.search(r"^✕ extension +syncmon_ext is not enabled", text, re.MULTILINE), text
    assert "jupyter server extension enable syncmon_ext" in text
    assert "1 to mend" in text


def doctor_where(place: Place, edge: str, code: int) -> str:
    """What the doctor says in a process that meets a system or a library which is different."""
    enable(place)
    folder = place.folder / "edge"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(edge)
    path = os.pathsep.join([str(folder), place.environment["PYTHONPATH"]])
    done = place.cli("doctor", code=code, PYTHONPATH=path)
    return done.stdout + done.stderr


def test_old_sqlite_is_wrong(place: Place) -> None:
    old = "import sqlite3\nsqlite3.sqlite_version_info = (3, 34, 1)\nsqlite3.sqlite_version = '3.34.1'\n"
    text = doctor_where(place, old, code=1)
    assert re.search(r"^✕ SQLite +version 3\.34\.1 is too old", text, re.MULTILINE), text
    assert "3.35.0 is needed" in text
    assert "1 to mend" in text


def test_store_on_a_network_filesystem_is_doubtful(place: Place) -> None:
    mount = (
        "import psutil\nreal = psutil.disk_partitions\n"
        f"folder = {str(place.folder.resolve())!r}\n"
        "own = real(all=True)[0]._replace(mountpoint=folder, fstype='nfs4')\n"
        "psutil.disk_partitions = lambda all=False: [*real(all), own]\n"
    )
    text = doctor_where(place, mount, code=0)
    told = r"^! store +on a network filesystem \(nfs4\), without WAL \(journal delete\)"
    assert re.search(told, text, re.MULTILINE), text
    assert "in PostgreSQL where several machines share it" in text


def test_little_space_for_the_store_is_doubtful(place: Place) -> None:
    full = (
        "import os\nreal = os.statvfs\n"
        "def statvfs(path):\n"
        "    found = list(real(path)[:10])\n"
        "    found[4] = (300 << 20) // found[1]\n"  # f_bavail, in blocks of f_frsize
        "    return os.statvfs_result(found)\n"
        "os.statvfs = statvfs\n"
    )
    text = doctor_where(place, full, code=0)
    assert re.search(r"^! store +300(\.0)? MiB are free on its disk", text, re.MULTILINE), text
    assert "free some space" in text


def test_driver_that_is_not_installed_is_wrong(place: Place) -> None:
    missing = (
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0].startswith('psycopg'):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
    )
    text = doctor_where(place, missing, code=1)
    assert re.search(
        r"^✕ PostgreSQL +the driver cannot be loaded: No module named 'psycopg'", text, re.MULTILINE
    ), text
    assert "pip install 'psycopg[binary]'" in text


def test_each_thing_that_is_wrong_is_told_with_its_remedy(place: Place) -> None:
    enable(place)
    config = place.folder / "syncmon.toml"
    config.write_text(
        config.read_text()
        + '\n[connections.down]\nurl = "postgresql://u@127.0.0.1:1/x"'
        + '\n[connections.secret]\nurl = "postgresql://u@127.0.0.1:1/x"'
        + '\npassword = { env = "NOT_SET_ANYWHERE" }\n'
    )
    text = place.cli("doctor", code=1).stdout
    assert re.search(r"✕ connection +down \(postgresql://u@127\.0\.0\.1:1/x\): ", text)
    assert re.search(r"✕ connection +secret .*NOT_SET_ANYWHERE", text)
    assert "2 to mend" in text


def test_broken_store_and_file_are_both_told(place: Place) -> None:
    enable(place)
    (place.folder / "store.db").write_text("no database" * 1_000)
    (place.folder / "syncmon.toml").write_text("x = = 1")
    text = place.cli("doctor", code=1).stdout
    assert re.search(r"✕ store +the store sqlite:", text)
    assert re.search(r"✕ configuration .*not valid TOML", text)


def test_living_and_dead_workers_are_told_apart(place: Place) -> None:
    enable(place)
    place.cli("start", "slow")
    place.wait_for("slow", State.RUNNING, rows=200)
    worker = place.worker("slow")
    text = place.cli("doctor").stdout
    assert f"slow (running) is with process {worker.pid}" in text
    os.kill(worker.pid, signal.SIGKILL)
    until(lambda: not worker.is_running() or worker.status() == "zombie", "the worker is dead")
    text = place.cli("doctor", code=1).stdout
    assert re.search(
        rf"✕ worker +slow \(running\) has lost its worker \(process {worker.pid}\)", text
    )
    assert "jupyter syncmon start slow" in text


def test_clean_keeps_what_can_go_on_and_drops_what_is_abandoned(place: Place) -> None:
    assert "nothing is left over" in place.cli("doctor", "--clean", "copy").stdout
    place.cli("start", "slow")
    place.wait_for("slow", State.RUNNING, rows=200)
    place.cli("pause", "slow")
    place.wait_for("slow", State.PAUSED)
    kept = place.cli("doctor", "--clean", "copy", "--yes").stdout
    assert "· slow_planes: task slow" in kept
    assert "kept: its run is paused" in kept
    # The store is lost: nobody can go on with the run any more.
    elsewhere = f"sqlite:///{place.folder}/other.db"
    listed = place.cli("doctor", "--clean", "copy", "--store", elsewhere, code=1).stdout
    assert re.search(r"! slow_planes: task slow, run \w+, staging table .*of another store", listed)
    assert "doctor --clean copy --yes" in listed
    dropped = place.cli("doctor", "--clean", "copy", "--store", elsewhere, "--yes").stdout
    assert "✓ dropped" in dropped
    assert "nothing is left over" in place.cli("doctor", "--clean", "copy").stdout


def test_clean_of_an_unknown_connection_names_the_nearest(place: Place) -> None:
    assert "did you mean copy?" in place.cli("doctor", "--clean", "cpoy", code=1).stderr
