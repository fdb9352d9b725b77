"""A rig whose chunks are copied by the workers of a Dask cluster, and what a test asks of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from distributed import Client

from syncmon_ext.model.unit import UnitRuntime
from tests.cluster import Cluster
from tests.faults.harness import Rig, rig

ROUTE = "postgresql-postgresql"
SLOW = {"rows": 800}


def dask_rig(folder: Path, cluster: Cluster, **options: Any) -> Any:
    return rig(folder, ROUTE, executor="dask", scheduler=cluster.address, **options)


def jobs_at_work(it: Rig) -> list[str]:
    """The names of the backends in which jobs on other machines write."""
    rows = it.target.execute(
        "SELECT application_name FROM pg_stat_activity WHERE datname = current_database()"
    )
    names = (str(row[0]) for row in rows)
    return [name for name in names if name.startswith("syncmon/") and name.count("/") == 3]


def under_way(it: Rig) -> None:
    it.begin()
    it.until(lambda: bool(jobs_at_work(it)))


def flights(it: Rig) -> UnitRuntime:
    return next(unit for unit in it.progress().units if unit.unit_id == "flights")


def boards(cluster: Cluster) -> list[str]:
    """What runs have left on the scheduler for their jobs."""
    with Client(cluster.address, set_as_default=False) as client:
        found: list[str] = client.run_on_scheduler(
            lambda dask_scheduler: list(dask_scheduler.extensions["variables"].variables)
        )
    return found
