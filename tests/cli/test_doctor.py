from __future__ import annotations

import os
import re
import shutil
import signal

from syncmon_ext.model.state import State
from syncmon_ext.store import runs, tasks
from syncmon_ext.store.store import Store
from syncmon_ext.sync import lease
from tests.cli.conftest import ROOT, Place, until


def enable(place: Place) -> None:
    """Enable the extension as an installation does."""
    target = place.folder / "jupyter/jupyter_server_config.d"
    target.mkdir(parents=True)
    shutil.copy(ROOT / "jupyter-config/jupyter_server_config.d/syncmon_ext.json", target)


def worker_of(place: Place, task: str) -> lease.psutil.Process:
    store = Store(place.store_url)
    with store.read() as connection:
        position = tasks.position(connection, task)
        assert position is not None
        assert position.run_id is not None
        owner = runs.lease(connection, position.run_id).owner
    store.close()
    assert owner is not None
    found = lease.process_of(owner)
    assert found is not None
    return found


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


def test_extension_that_is_not_enabled_is_wrong(place: Place) -> None:
    text = place.cli("doctor", code=1, JUPYTER_NO_CONFIG="1", JUPYTER_PREFER_ENV_PATH="0").stdout
    if "✓ extension" in text:  # this environment has it installed for everybody
        assert "to mend" in text
    else:
        assert "jupyter server extension enable syncmon_ext" in text


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
    worker = worker_of(place, "slow")
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
