"""Chunks on the workers of a Dask cluster: exact, whichever of its processes dies."""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from distributed import LocalCluster

from syncmon_ext.model.state import State
from syncmon_ext.services import probe
from tests.certificate import written
from tests.cluster import Cluster
from tests.faults.harness import rig
from tests.faults.on_dask import ROUTE, SLOW, boards, dask_rig, jobs_at_work, under_way
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


def test_plan_tells_where_chunks_are_copied(cluster: Cluster, tmp_path: Path) -> None:
    with dask_rig(tmp_path, cluster) as it:
        task = it.catalog.task("nightly")
        assert task.spec is not None
        ends = [it.catalog.connection(name) for name in (task.spec.source, task.spec.target)]
        plan = probe.plan("nightly", task.spec, *ends)
        assert plan.executor.startswith(f"Dask at {cluster.address}: its workers copy the chunks")
