"""A task: a configured copy, as a file or the API describes it."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec

TASK_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class Mode(StrEnum):
    """What a copy does to the rows that the target holds already."""

    REPLACE = "replace"
    APPEND = "append"
    MERGE = "merge"  # all rows of the source, inserted or updated by key
    INCREMENTAL = "incremental"  # the same for the rows that a cursor says are new

    @property
    def merges(self) -> bool:
        """True where rows are inserted or updated by key."""
        return self in (Mode.MERGE, Mode.INCREMENTAL)


class Verify(StrEnum):
    """What is compared before a table is put in place."""

    COUNT = "count"  # the rows of each chunk: always
    HASH = "hash"  # the content of each chunk too


class Consistency(StrEnum):
    """What must hold between the chunks of a table."""

    SNAPSHOT = "snapshot"  # one snapshot: a table that loses it begins again
    CHUNK = "chunk"  # each chunk reads a state of its own: the source holds nothing open


class Executor(StrEnum):
    """Where the chunks of a task are copied."""

    LOCAL = "local"  # in processes beside the worker's
    DASK = "dask"  # on the workers of a Dask cluster


class Kind(StrEnum):
    """What a task is: a copy that a worker executes, or a loop that reports itself."""

    COPY = "copy"
    LOOP = "loop"


# The structured filters of `where`: a value (equal), a list (one of) or {"<op>": value}.
FILTER_OPERATORS: Final = ("=", "!=", "<", "<=", ">", ">=")
NULL_OPERATORS: Final = ("=", "!=")  # IS NULL, IS NOT NULL; no value is less than NULL, or more


class TableSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of a task. Empty fields are taken from the source's own schema."""

    name: str
    schema: str | None = None
    columns: list[str] | None = None
    key: list[str] | None = None  # what chunks are ranges of, and rows are merged by
    cursor: str | None = None  # of incremental: the column that grows with each change of a row
    target: str | None = None  # the target table's name; the same name when None
    target_schema: str | None = None
    where: dict[str, Any] = {}  # column -> value | [values] | {"<op>": value}

    @property
    def unit_id(self) -> str:
        """The name that the unit goes by in the store, the log and the page."""
        return f"{self.schema}.{self.name}" if self.schema else self.name


class Throttle(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Upper bounds over all chunks of a run; None is no bound."""

    rows: Annotated[int, msgspec.Meta(gt=0)] | None = None  # per second
    bytes: Annotated[int, msgspec.Meta(gt=0)] | None = None  # per second


class ThrottleChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another pace: None lifts a bound, and one that is not named stays as it is."""

    rows: Annotated[int, msgspec.Meta(gt=0)] | msgspec.UnsetType | None = msgspec.UNSET
    bytes: Annotated[int, msgspec.Meta(gt=0)] | msgspec.UnsetType | None = msgspec.UNSET

    def applied(self, before: Throttle | None) -> Throttle | None:
        """The bounds after the change; None where none is left."""
        old = before or Throttle()
        rows = old.rows if isinstance(self.rows, msgspec.UnsetType) else self.rows
        size = old.bytes if isinstance(self.bytes, msgspec.UnsetType) else self.bytes
        return Throttle(rows=rows, bytes=size) if rows or size else None


class TaskSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person writes: the body of ``POST tasks`` and a ``[tasks.ID]`` of ``syncmon.toml``."""

    source: str
    target: str
    tables: list[str | TableSpec]
    mode: Mode = Mode.REPLACE
    name: str | None = None
    workers: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2  # chunks in flight
    # Upper bound; None: what the pair of databases is best copied with.
    chunk_rows: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] | None = None
    executor: Executor = Executor.LOCAL
    scheduler: str | None = None  # of Dask: tcp://host:port
    direct: bool = False  # append without staging
    allow_lossy: list[str] = []  # "column" or "table.column"
    throttle: Throttle | None = None
    verify: Verify = Verify.COUNT
    max_rejects: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0  # bad rows of a table
    # None: one snapshot where the source has such a thing, and a newer one after a pause.
    consistency: Consistency | None = None
    # Of incremental: how far before the watermark it reads again, for transactions that commit late.
    lag_seconds: Annotated[float, msgspec.Meta(ge=0, le=315_360_000)] = 0.0
    on_finish: str | None = None  # the name of a webhook

    def table_specs(self) -> list[TableSpec]:
        """The tables, each as a TableSpec, in the order written."""
        return [TableSpec(name=t) if isinstance(t, str) else t for t in self.tables]


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A task with its id, and where it is written (``store``, or a file's path)."""

    task_id: str
    kind: Kind = Kind.COPY
    spec: TaskSpec | None = None  # None for a loop
    name: str = ""
    origin: str = "store"

    @property
    def read_only(self) -> bool:
        """True where a file defines the task and the API must not change it."""
        return self.origin != "store"
