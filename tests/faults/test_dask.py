"""Chunks on the workers of a Dask cluster: exact, and steered as beside the worker."""

from __future__ import annotations

import itertools
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from distributed import Client, LocalCluster, Variable

from syncmon_ext.model.errors import MissingExtra
from syncmon_ext.model.state import State, UnitState
from syncmon_ext.services import probe
from syncmon_ext.store import tasks
from tests.certificate import written
from tests.cluster import WITHOUT_SYNCMON, Cluster, free_port
from tests.faults.harness import Rig, Side, is_gone, rig
from tests.faults.on_dask import ROUTE, SLOW, dask_rig, flights, jobs_at_work, under_way
from tests.faults.own_server import OwnServer
from tests.faults.test_kill import WAYS

LONG = os.environ.get("SYNCMON_FAULTS") == "long"
POINTS = (
    "chunk.begin",
    "chunk.read",
    "chunk.written",
    "chunk.before_commit",
    "chunk.after_commit",
    "chunk.returned",
    "batch.begin",
    "batch.landed",
    "batch.before_commit",
    "batch.after_commit",
)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path) as made:
        yield made


@pytest.mark.parametrize("way", WAYS if LONG else ("replace", "append-direct", "merge"))
def test_rows_are_the_source_s_and_each_chunk_is_copied_once(
    way: str, cluster: Cluster, tmp_path: Path
) -> None:
    with dask_rig(tmp_path, cluster, **WAYS[way].options) as it:
        it.audit()
        WAYS[way].before(it)
        it.control.start("nightly")
        it.finish()
        it.assert_each_chunk_copied_once()
        it.until(lambda: boards(cluster) == [], 5)


def boards(cluster: Cluster) -> list[str]:
    """What runs have left on the scheduler for their jobs."""
    with Client(cluster.address, set_as_default=False) as client:
        found: list[str] = client.run_on_scheduler(
            lambda dask_scheduler: list(dask_scheduler.extensions["variables"].variables)
        )
    return found


def test_local_cluster_of_a_notebook_copies_and_compares_content(tmp_path: Path) -> None:
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0"
        ) as local,
        rig(
            tmp_path,
            ROUTE,
            executor="dask",
            scheduler=local.scheduler_address,
            verify="hash",
            workers=4,
        ) as it,
    ):
        it.control.start("nightly")
        it.finish()
        assert any("content agrees" in message for message in it.messages())


def test_encrypted_cluster_is_used_with_dask_s_own_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = str(written(tmp_path))
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TLS__CA_FILE", file)
    for role, what in itertools.product(("SCHEDULER", "WORKER", "CLIENT"), ("KEY", "CERT")):
        monkeypatch.setenv(f"DASK_DISTRIBUTED__COMM__TLS__{role}__{what}", file)
    with Cluster(tmp_path, protocol="tls") as cluster, dask_rig(tmp_path, cluster) as it:
        it.control.start("nightly")
        it.finish()


@pytest.mark.parametrize("point", POINTS if LONG else POINTS[1::2])
def test_worker_of_dask_that_dies_loses_and_doubles_nothing(point: str, tmp_path: Path) -> None:
    fired = tmp_path / "fired"
    env = {"SYNCMON_FAULT": f"{point}:1:kill", "SYNCMON_FAULT_ONCE": str(fired)}
    with (
        Cluster(tmp_path, workers=2, env=env) as cluster,
        # Batches are what small tables are copied in, unless a chunk is smaller than they are.
        dask_rig(tmp_path, cluster, chunk_rows=None if point.startswith("batch.") else 100) as it,
    ):
        it.audit()
        it.control.start("nightly")
        it.finish()
        assert fired.exists()
        it.assert_each_chunk_copied_once()


def test_chunks_of_lost_workers_are_copied_again_and_the_log_says_so(
    cluster: Cluster, tmp_path: Path
) -> None:
    with dask_rig(tmp_path, cluster, throttle=SLOW) as it:
        it.audit()
        under_way(it)
        cluster.kill_workers()
        it.until(lambda: "a free worker of Dask" in (it.progress().waiting_for or ""), 20)
        assert cluster.address in (it.progress().waiting_for or "")
        assert it.progress().state is State.RUNNING
        cluster.add_worker()
        it.finish()
        it.assert_each_chunk_copied_once()
        assert any("was lost in the middle of it" in message for message in it.messages())


def test_worker_that_was_only_frozen_does_not_write_beside_its_successor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL", "2s")
    with (
        Cluster(tmp_path, workers=1) as cluster,
        dask_rig(tmp_path, cluster, throttle=SLOW) as it,
    ):
        it.audit()
        under_way(it)
        names = set(jobs_at_work(it))
        frozen = cluster.workers[0]
        os.kill(frozen.pid, signal.SIGSTOP)
        cluster.add_worker()
        copied = it.progress().rows_committed
        it.until(lambda: it.progress().rows_committed > copied + 200, 60)
        os.kill(frozen.pid, signal.SIGCONT)
        it.finish()
        it.assert_each_chunk_copied_once()
        assert not names & set(jobs_at_work(it))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_run_whose_worker_ended_is_taken_over(
    number: signal.Signals, cluster: Cluster, tmp_path: Path
) -> None:
    with dask_rig(tmp_path, cluster, throttle=SLOW, flights=4_000) as it:
        it.audit()
        under_way(it)
        for _ in range(2):
            it.signal_worker(number)
            it.until_worker_is_gone()
            copied = it.progress().rows_committed
            it.until(lambda copied=copied: it.progress().rows_committed > copied)  # type: ignore[misc]
        it.finish()
        it.assert_each_chunk_copied_once()


@pytest.mark.parametrize("seed", range(24 if LONG else 2))
def test_killed_at_random_moments(
    seed: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    chance = random.Random(seed)
    way = chance.choice(list(WAYS))
    options = {"throttle": {"rows": 2_000}, "flights": 4_000, "workers": 3, **WAYS[way].options}
    with Cluster(tmp_path) as cluster, dask_rig(tmp_path, cluster, **options) as it:
        it.audit()
        WAYS[way].before(it)
        it.control.start("nightly")
        for kill in range(4):
            pause = time.monotonic() + chance.uniform(0.0, 1.5)
            it.until(lambda pause=pause: time.monotonic() > pause)  # type: ignore[misc]
            what = chance.choice(["worker", "dask worker", "dask worker", "cluster"])
            record_property(f"kill_{kill}", what)
            if what == "worker":
                it.signal_worker(signal.SIGKILL)
            elif what == "dask worker":
                cluster.kill_worker(chance.randrange(len(cluster.workers)))
                cluster.add_worker()
            else:
                cluster.kill()
                cluster.start()
        assert it.until_ended(120).state is State.COMPLETED, it.messages()
        it.assert_equal()
        it.assert_each_chunk_copied_once()


def worker(it: Rig) -> psutil.Process:
    owner = it.owner()
    assert owner is not None
    return psutil.Process(owner.pid)


def test_pause_ends_the_chunks_on_dask_and_resume_goes_on(cluster: Cluster, tmp_path: Path) -> None:
    # Chunks that do not end by themselves before the pause is effective.
    with dask_rig(tmp_path, cluster, throttle={"rows": 200}, chunk_rows=None, flights=6_000) as it:
        it.audit()
        it.control.start("nightly")
        it.until(lambda: bool(jobs_at_work(it)))
        process = worker(it)
        began = time.monotonic()
        assert it.control.pause("nightly").state is State.PAUSING
        it.until(lambda: it.progress().state is State.PAUSED, 5)
        assert time.monotonic() - began < 5.0
        assert jobs_at_work(it) == []
        it.until(lambda: is_gone(process), 5)
        before = it.target.checkpoints()
        it.control.start("nightly")
        it.finish()
        it.assert_each_chunk_copied_once()
        assert before


def test_paused_run_is_not_gone_on_with_by_a_database_that_thaws(
    cluster: Cluster, tmp_path: Path
) -> None:
    server = OwnServer()
    try:
        ends = Side("postgresql", server.database()), Side("postgresql", server.database())
        it = Rig(tmp_path, *ends, executor="dask", scheduler=cluster.address, throttle=SLOW)
        try:
            it.fill(3_000)
            it.audit()
            under_way(it)
            frozen = server.processes()
            for process in frozen:
                process.suspend()
            began = time.monotonic()
            it.control.pause("nightly")
            it.until(lambda: it.progress().state is State.PAUSED, 5)
            assert time.monotonic() - began < 5.0
            for process in reversed(frozen):
                process.resume()
            it.until(lambda: jobs_at_work(it) == [], 5)
            it.control.start("nightly")
            it.finish()
            it.assert_each_chunk_copied_once()
        finally:
            it.close()
    finally:
        server.handle.cleanup()


def test_lost_snapshot_is_told_and_another_is_read(cluster: Cluster, tmp_path: Path) -> None:
    with dask_rig(tmp_path, cluster, throttle=SLOW) as it:
        it.audit()
        under_way(it)
        it.source.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'syncmon/source/snapshot'"
        )
        it.finish()
        it.assert_each_chunk_copied_once()
        assert any("the snapshot of the source was lost" in message for message in it.messages())


@pytest.mark.parametrize("mode", ["replace", "append"])
def test_stop_leaves_the_target_as_it_was(mode: str, cluster: Cluster, tmp_path: Path) -> None:
    with dask_rig(tmp_path, cluster, throttle=SLOW, mode=mode) as it:
        it.make_old_target()
        old = it.target.content("flights")
        under_way(it)
        began = time.monotonic()
        assert it.control.stop("nightly").state is State.STOPPING
        it.until(lambda: it.progress().state is State.STOPPED, 5)
        assert time.monotonic() - began < 5.0
        it.until(lambda: jobs_at_work(it) == [], 2)
        assert it.target.content("flights") == old
        assert it.target.leftovers() == []
        assert it.target.checkpoints() == {}


def test_stop_of_a_direct_copy_says_how_many_rows_stay(cluster: Cluster, tmp_path: Path) -> None:
    with dask_rig(tmp_path, cluster, throttle=SLOW, mode="append", direct=True) as it:
        it.make_old_target(rows=False)
        under_way(it)
        it.control.stop("nightly")
        it.until(lambda: it.progress().state is State.STOPPED, 5)
        it.until(lambda: jobs_at_work(it) == [], 2)
        rows = it.target.execute("SELECT count(*) FROM flights")[0][0]
        assert f"{rows:,} rows stay in flights" in it.messages()[-1]


def test_throttle_is_felt_by_running_chunks(cluster: Cluster, tmp_path: Path) -> None:
    with dask_rig(tmp_path, cluster, throttle={"rows": 20}, chunk_rows=None) as it:
        it.control.start("nightly")
        it.until(lambda: bool(jobs_at_work(it)))
        began = time.monotonic()
        it.finish()  # without a bound: at 20 rows/s it would take more than a minute
        assert time.monotonic() - began < 20


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


def test_pause_and_stop_work_with_a_scheduler_that_hangs(cluster: Cluster, tmp_path: Path) -> None:
    with dask_rig(tmp_path, cluster, throttle=SLOW) as it:
        under_way(it)
        process = worker(it)
        os.kill(cluster.scheduler.pid, signal.SIGSTOP)
        try:
            it.control.pause("nightly")
            it.until(lambda: it.progress().state is State.PAUSED, 5)
            it.until(lambda: is_gone(process), 10)
            assert jobs_at_work(it) == []
            it.control.stop("nightly")
            it.until(lambda: it.progress().state is State.STOPPED, 10)
            assert it.target.leftovers() == []
        finally:
            os.kill(cluster.scheduler.pid, signal.SIGCONT)


def test_run_goes_on_elsewhere_when_the_task_says_so(cluster: Cluster, tmp_path: Path) -> None:
    with dask_rig(tmp_path, cluster, throttle=SLOW) as it:
        it.audit()
        under_way(it)
        it.control.pause("nightly")
        it.until(lambda: it.progress().state is State.PAUSED, 5)
        toml = it.folder / "syncmon.toml"
        lines = toml.read_text().splitlines()
        kept = [line for line in lines if not line.startswith(("executor", "scheduler"))]
        toml.write_text("\n".join(kept))
        cluster.kill()
        it.control.start("nightly")
        it.finish()
        it.assert_each_chunk_copied_once()


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


def test_bad_rows_are_set_aside(cluster: Cluster, tmp_path: Path) -> None:
    with dask_rig(tmp_path, cluster, mode="append", direct=True, max_rejects=40) as it:
        it.make_old_target(rows=False)
        it.target.execute("ALTER TABLE flights ADD CHECK (id % 100 <> 0)")
        bad = it.source.execute("SELECT count(*) FROM flights WHERE id % 100 = 0")[0][0]
        assert 0 < bad <= 40
        it.control.start("nightly")
        assert it.until_ended().state is State.COMPLETED, it.messages()
        there = it.target.content("flights")
        assert len(there) == len(it.source.content("flights")) - bad
        assert it.target.execute("SELECT count(*) FROM _syncmon.rejects") == [(bad,)]


# -- what is refused before a row moves ----------------------------------------------------------


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


def test_plan_tells_where_chunks_are_copied(cluster: Cluster, tmp_path: Path) -> None:
    with dask_rig(tmp_path, cluster) as it:
        task = it.catalog.task("nightly")
        assert task.spec is not None
        ends = [it.catalog.connection(name) for name in (task.spec.source, task.spec.target)]
        plan = probe.plan("nightly", task.spec, *ends)
        assert plan.executor.startswith(f"Dask at {cluster.address}: its workers copy the chunks")
