"""Runs whose chunks are on Dask's workers are paused, stopped and throttled as beside the worker."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from syncmon_ext.model.state import State
from tests.cluster import Cluster
from tests.faults.harness import Rig, Side, is_gone
from tests.faults.on_dask import SLOW, dask_rig, jobs_at_work, under_way
from tests.faults.own_server import OwnServer


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
