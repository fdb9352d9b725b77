"""A Dask cluster that does not do what is asked of it: it is named, waited for, or fails the tables."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from distributed import Client, Variable

from syncmon_ext.model.errors import MissingExtra
from syncmon_ext.model.state import State, UnitState
from syncmon_ext.store import tasks
from tests.cluster import WITHOUT_SYNCMON, Cluster, free_port
from tests.faults.harness import rig
from tests.faults.on_dask import ROUTE, SLOW, boards, dask_rig, flights, under_way


def test_scheduler_that_went_away_is_named_and_waited_for(tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    with Cluster(tmp_path) as first, dask_rig(tmp_path, first, throttle=SLOW) as it:
        it.audit()
        under_way(it)
        first.kill()
        it.until(lambda: (it.progress().waiting_for or "").startswith("Dask's scheduler"), 20)
        assert first.address in (it.progress().waiting_for or "")
        with Cluster(tmp_path / "second", port=first.port):
            it.finish()
        it.assert_each_chunk_copied_once()
        lost = f"try 1 failed: Dask's scheduler {first.address} does not answer"
        assert any(lost in message for message in it.messages())


def test_board_is_put_up_again_on_a_scheduler_that_has_none(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Dask's client goes over to a scheduler that was started anew without a word."""
    with dask_rig(tmp_path, cluster, throttle=SLOW) as it:
        it.audit()
        under_way(it)
        with Client(cluster.address, set_as_default=False) as client:
            for name in boards(cluster):
                Variable(name, client=client).delete()
        it.until(lambda: any("was taken back" in message for message in it.messages()), 20)
        assert it.until_ended(40).state is State.COMPLETED, it.messages()
        it.assert_equal()
        it.assert_each_chunk_copied_once()


def test_scheduler_that_stays_away_fails_the_tables_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNCMON_RETRY_SECONDS", "2")
    nowhere = f"tcp://127.0.0.1:{free_port()}"
    with rig(tmp_path, ROUTE, executor="dask", scheduler=nowhere) as it:
        it.control.start("nightly")
        progress = it.until_ended()
        assert progress.state is State.FAILED
        unit = flights(it)
        assert f"Dask's scheduler {nowhere} does not answer" in (unit.error or "")


def test_scheduler_that_cannot_be_used_is_named_with_the_reason(tmp_path: Path) -> None:
    """Each table's attempt leaves half a client of Dask's, none of which may hold the run when collected."""
    tables = ["flights", *(f"t{number}" for number in range(20))]
    with rig(
        tmp_path, ROUTE, executor="dask", scheduler="tls://127.0.0.1:8786", tables=tables
    ) as it:
        for table in tables[1:]:
            it.source.execute(f"CREATE TABLE {table} (id int PRIMARY KEY)")
        it.control.start("nightly")
        progress = it.until_ended(20)
        assert progress.state is State.FAILED
        assert progress.failed_tables == len(tables)
        unit = flights(it)
        assert "scheduler tls://127.0.0.1:8786 cannot be used" in (unit.error or "")
        assert "tls:// needs certificates" in (unit.hint or "")


def test_job_that_dask_gives_up_fails_its_table_and_start_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "0")
    with Cluster(tmp_path) as cluster, dask_rig(tmp_path, cluster, throttle=SLOW) as it:
        it.audit()
        under_way(it)
        cluster.kill_workers()
        it.until(lambda: flights(it).state is UnitState.FAILED)
        said = "flights: the workers of Dask that copied it ended in the middle of it"
        assert said in (flights(it).error or "")
        cluster.add_worker()  # for the other tables
        assert it.until_ended().state is State.FAILED
        it.control.start("nightly")
        it.finish()
        it.assert_each_chunk_copied_once()


@pytest.mark.parametrize(
    ("preload", "message", "hint"),
    [
        (
            WITHOUT_SYNCMON,
            "could not load syncmon (ModuleNotFoundError",
            "install the same syncmon",
        ),
        (
            "import syncmon_ext._version as v; v.__version__ = '0.0.1'",
            "has syncmon 0.0.1, and the run's worker",
            "install the same syncmon",
        ),
    ],
)
def test_worker_of_dask_without_this_syncmon_is_named(
    preload: str, message: str, hint: str, tmp_path: Path
) -> None:
    with Cluster(tmp_path, workers=0) as cluster, dask_rig(tmp_path, cluster) as it:
        cluster.add_worker(DASK_DISTRIBUTED__WORKER__PRELOAD=repr([preload]))
        it.control.start("nightly")
        progress = it.until_ended()
        assert progress.state is State.FAILED
        unit = flights(it)
        assert message in (unit.error or "")
        assert hint in (unit.hint or "")


def test_missing_package_is_named_before_the_run_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rig(tmp_path, ROUTE, executor="dask", scheduler="tcp://127.0.0.1:8786") as it:
        monkeypatch.setitem(sys.modules, "distributed", None)
        with pytest.raises(MissingExtra, match="needs the package distributed") as caught:
            it.control.start("nightly")
        assert 'pip install "syncmon[dask]"' in caught.value.hint
        with it.store.read() as connection:
            assert tasks.position(connection, "nightly") is None, "nothing was begun"
