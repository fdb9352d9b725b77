"""Executors: whether the one that a task asks for can be had here, and what a plan says of it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from syncmon_ext.model.config import check_executor
from syncmon_ext.model.connection import Connection
from syncmon_ext.model.errors import MissingExtra
from syncmon_ext.model.task import Executor, TaskSpec

PACKAGE: Final = "distributed"


def check(spec: TaskSpec, source: Connection, target: Connection) -> None:
    """Raise InvalidConfig or MissingExtra where the task's chunks cannot be copied as it says."""
    check_executor(spec, (source, target), "")
    if spec.executor is Executor.DASK and find_spec(PACKAGE) is None:
        raise MissingExtra(
            f'executor: "dask" needs the package {PACKAGE}, which is not installed here',
            hint='pip install "syncmon[dask]", or use executor = "local"',
        )


def stated(spec: TaskSpec) -> str:
    """Where chunks are copied, in words; nothing where that is beside the worker."""
    if spec.executor is not Executor.DASK:
        return ""
    return (
        f"Dask at {spec.scheduler}: its workers copy the chunks and resolve the connections' secrets; the "
        "rest is done here"
    )
