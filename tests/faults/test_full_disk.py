"""The target's disk is full: it is said, nothing is lost, and the run goes on when there is room."""

from __future__ import annotations

import pwd
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from subprocess import CalledProcessError

import pytest

from syncmon_ext.model.errors import WrongState
from syncmon_ext.model.state import State
from syncmon_ext.model.task import Throttle
from tests.disks import fill_up, make_room, mounted
from tests.faults.harness import Rig, Side, side
from tests.faults.own_server import OwnServer, rig_on


def assert_told_and_finished(it: Rig, disk: Path) -> None:
    """The table failed with what is full and what to do; with room it goes on from its checkpoints."""
    it.control.start("nightly")
    progress = it.until_ended()
    assert progress.state is State.FAILED
    flights = {unit.unit_id: unit for unit in progress.units}["flights"]
    assert "full" in (flights.error or "") or "No space left" in (flights.error or "")
    assert "free some space" in (flights.hint or "") or "make room" in (flights.hint or "")
    assert flights.rows_committed > 0
    make_room(disk, "20m")
    it.control.start("nightly")
    assert it.until_ended().state is State.COMPLETED, it.messages()
    resumed = f"resumed, {flights.rows_committed:,} rows"
    assert any(resumed in message for message in it.messages())
    it.assert_equal()
    it.assert_each_chunk_copied_once()


def test_full_disk_under_a_file_fails_clearly_and_goes_on_when_there_is_room(
    tmp_path: Path,
) -> None:
    with mounted(tmp_path / "disk", "1m") as disk, side("sqlite", tmp_path / "source.db") as source:
        it = Rig(tmp_path, source, Side("sqlite", f"sqlite:///{disk / 'target.db'}"))
        it.fill(15_000)
        it.audit()
        assert_told_and_finished(it, disk)
        it.close()


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user may look into, as the one that runs PostgreSQL must."""
    folder = Path(tempfile.mkdtemp(prefix="syncmon-disk-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_full_tablespace_fails_clearly_and_goes_on_when_there_is_room(
    tmp_path: Path, place: Path
) -> None:
    server = OwnServer()
    try:
        with mounted(place / "space", "400k") as disk, rig_on(server, tmp_path) as it:
            shutil.chown(disk, pwd.getpwuid(Path(server.folder).stat().st_uid).pw_name)
            server.handle.psql(f"CREATE TABLESPACE small LOCATION '{disk}'")
            database = it.target.url.split("?")[0].rsplit("/", 1)[1]
            server.handle.psql(f"ALTER DATABASE {database} SET default_tablespace = small")
            it.audit()
            assert_told_and_finished(it, disk)
    finally:
        server.handle.cleanup()


def test_server_that_dies_of_a_full_disk_costs_no_row(tmp_path: Path, place: Path) -> None:
    """Where there is no room for its log, PostgreSQL goes down, and comes back when there is some."""
    with mounted(place / "data", "400m") as disk:
        server = OwnServer(disk / "postgresql")
        try:
            with rig_on(server, tmp_path, throttle={"rows": 100}) as it:
                it.audit()
                it.begin(50)
                filler = fill_up(disk)
                with suppress(
                    CalledProcessError
                ):  # until the log needs a segment that is not there
                    while server.is_running():
                        server.handle.psql("SELECT pg_switch_wal(), txid_current()")
                it.until(lambda: any("warehouse: " in message for message in it.messages()))
                assert it.progress().rows_committed < it.progress().rows_total
                filler.unlink()
                it.until(lambda: not server.is_running(), 30)
                server.start()
                with suppress(WrongState):
                    it.control.set_throttle("nightly", Throttle())
                if it.until_ended().state is State.FAILED:  # a statement was told of the full disk
                    assert any("make room on the server" in message for message in it.messages())
                    it.control.start("nightly")
                assert it.until_ended().state is State.COMPLETED, it.messages()
                it.assert_equal()
                it.assert_each_chunk_copied_once()
        finally:
            server.handle.cleanup()
