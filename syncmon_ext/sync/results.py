"""What the jobs answer, beside plans and chunks."""

from __future__ import annotations

import msgspec

from syncmon_ext.model.chunk import Chunk, ChunkResult, KeyValue, Window
from syncmon_ext.model.makeup import Makeup


class UnitMark(msgspec.Struct, frozen=True, kw_only=True):
    """Where a unit stands in its target."""

    unit_id: str
    upper: (
        KeyValue | None
    )  # the fixed upper end of the key range; None: one chunk, open on both sides
    committed: list[Chunk]  # merged ranges in the key's order, with rows and bytes
    chunks_committed: int
    swapped: bool
    rows_swapped: int | None
    rows_total: int | None  # exact, where that is cheap to know
    restarted: bool = False  # rows of an earlier attempt were dropped
    changed: str = ""  # what of the table, where that is the reason
    window: Window | None = None  # what the unit reads, where it is incremental
    made_of: Makeup | None = (
        None  # what its chunks must find the table to be, where no snapshot tells
    )
    warnings: list[str] = []  # what was found at the beginning
    at_once: bool = False  # the whole table is best moved as one chunk


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What a target knows of a run."""

    ended: set[str] = set()  # unit ids whose tables it does not hold any more: it has ended there
    placed: set[str] = set()  # unit ids whose rows are in place
    chunks: dict[str, int] = {}  # how many are committed, by unit id


class SwapResult(msgspec.Struct, frozen=True, kw_only=True):
    """A unit whose rows are in place."""

    unit_id: str
    rows: int
    warnings: list[str] = []  # what could not be made in the target beside the rows


class BatchResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a batch; a unit that is in neither list is as it was before."""

    placed: list[tuple[str, ChunkResult]]  # unit ids whose rows are in place, each by one chunk
    alone: list[str]  # unit ids that the batch could not take: they are copied one by one


class Discarded(msgspec.Struct, frozen=True, kw_only=True):
    """What a stop did to a unit; ``kept``: rows of this run stay in the target table."""

    unit_id: str
    kept: bool
    rows_kept: int
    table_made: bool = False  # the table itself is this run's, and stays with its rows


class ConnectionCheck(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of a connection test."""

    name: str
    dialect: str
    version: str
    ok: bool
    message: str
    seconds: float


class Leftover(msgspec.Struct, frozen=True, kw_only=True):
    """What a run left in a target: a fence, and perhaps a staging table and its checkpoints."""

    store_id: str
    task_id: str
    run_id: str
    schema: str | None
    table: str
    staging: str | None
    chunks: int
    rows: int
    swapped: bool
    finished: bool
