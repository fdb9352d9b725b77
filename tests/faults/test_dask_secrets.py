"""Secrets of a run whose chunks Dask's workers copy: references reach them, never a value."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy.engine import make_url

from syncmon_ext.model.state import State, UnitState
from tests.cluster import Cluster
from tests.faults.harness import Rig, Side
from tests.faults.on_dask import SLOW, flights, under_way
from tests.faults.own_server import OwnServer

CANARY = "c@n/ar%y#dask-91xx"


@pytest.fixture
def locked() -> Iterator[OwnServer]:
    """A PostgreSQL that asks for the canary."""
    own = OwnServer()
    own.handle.psql(f"CREATE ROLE etl SUPERUSER LOGIN PASSWORD '{CANARY}'")
    rules = Path(own.folder) / "pg_hba.conf"
    rules.write_text(f"local all etl scram-sha-256\n{rules.read_text()}")
    own.handle.psql("SELECT pg_reload_conf()")
    yield own
    own.handle.cleanup()


def secret_rig(folder: Path, server: OwnServer, cluster: Cluster, reference: str) -> Rig:
    """A rig whose connections are the user's that has the canary for a password."""
    sides = [Side("postgresql", server.database()) for _ in range(2)]
    made = Rig(folder, *sides, executor="dask", scheduler=cluster.address, throttle=SLOW)
    made.fill(1_500)
    toml = folder / "syncmon.toml"
    text = toml.read_text()
    for each in sides:
        name = make_url(each.url).database
        url = f"postgresql://etl@/{name}?host={quote(server.folder)}"
        text = text.replace(f'url = "{each.url}"', f'url = "{url}"\npassword = {reference}')
    toml.write_text(text)
    return made


def memory(pid: int) -> bytes:
    """What a process can write to, but for its stacks' guards and devices."""
    found = []
    with Path(f"/proc/{pid}/mem").open("rb", 0) as mem:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            addresses, rights, *_ = line.split()
            if not rights.startswith("rw"):
                continue
            low, high = (int(part, 16) for part in addresses.split("-"))
            try:
                mem.seek(low)
                found.append(mem.read(high - low))
            except (OSError, ValueError, OverflowError):
                continue
    return b"".join(found)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_secret_reaches_the_scheduler(locked: OwnServer, tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text(f"{CANARY}\n")
    with Cluster(tmp_path) as cluster:
        it = secret_rig(tmp_path, locked, cluster, f'{{ file = "{secret}" }}')
        try:
            under_way(it)
            scheduler, worker = memory(cluster.scheduler.pid), memory(cluster.workers[0].pid)
            assert b"syncmon_ext.sync.carried" in scheduler, "jobs have passed through it"
            assert CANARY.encode() not in scheduler
            assert CANARY.encode() in worker, "what is there is found"
            assert it.until_ended().state is State.COMPLETED
            it.assert_equal()
            assert CANARY.encode() not in memory(cluster.scheduler.pid)
            assert CANARY not in cluster.output()
        finally:
            it.close()


def test_secret_that_dask_s_workers_do_not_have_pauses_the_run_and_is_named(
    locked: OwnServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Cluster(tmp_path) as cluster:
        monkeypatch.setenv("DASK_CANARY", CANARY)  # beside the worker there is one
        it = secret_rig(tmp_path, locked, cluster, '{ env = "DASK_CANARY" }')
        try:
            it.control.start("nightly")
            progress = it.until_ended()
            assert progress.state is State.PAUSED
            assert "on Dask's worker tcp://" in (progress.error or "")
            assert "environment variable DASK_CANARY is not set" in (progress.error or "")
            assert "where Dask's workers are started" in (progress.hint or "")
            assert all(unit.state is not UnitState.FAILED for unit in progress.units)
            cluster.kill_workers()
            cluster.add_worker(DASK_CANARY=CANARY)
            it.control.start("nightly")
            it.finish()
        finally:
            it.close()


def test_url_that_leads_to_another_database_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = OwnServer(), OwnServer()
    try:
        source, target = (Side("postgresql", here.database()) for _ in range(2))
        monkeypatch.setenv("PGHOST", here.folder)
        with Cluster(tmp_path, env={"PGHOST": there.folder}) as cluster:
            options = {"executor": "dask", "scheduler": cluster.address, "consistency": "chunk"}
            it = Rig(tmp_path, source, target, **options)
            it.fill(1_500)
            text = (tmp_path / "syncmon.toml").read_text()
            for each in (source, target):
                name = make_url(each.url).database
                there.handle.psql(f"CREATE DATABASE {name}")
                text = text.replace(each.url, f"postgresql://postgres@/{name}")
            (tmp_path / "syncmon.toml").write_text(text)
            try:
                it.control.start("nightly")
                progress = it.until_ended()
                assert progress.state is State.FAILED
                unit = flights(it)
                assert "flights: its url leads to another database on Dask's worker" in (
                    unit.error or ""
                )
            finally:
                it.close()
    finally:
        here.handle.cleanup()
        there.handle.cleanup()
