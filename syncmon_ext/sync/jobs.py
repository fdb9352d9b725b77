"""The jobs: what a worker's child processes are told to do with the databases.

Plain functions of plain data, so that any ``concurrent.futures`` executor can carry them; the process
that schedules them never touches a database, and can answer while one hangs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from syncmon_ext.model.chunk import Chunk, ChunkResult, KeyValue
from syncmon_ext.model.connection import Connection
from syncmon_ext.model.errors import SyncmonError
from syncmon_ext.model.plan import Plan, UnitPlan
from syncmon_ext.model.reject import Rejects, Replayed
from syncmon_ext.model.task import TaskSpec
from syncmon_ext.sync import (
    batch_copy,
    chunk_copy,
    chunks,
    claiming,
    ending,
    engine_url,
    identity,
    preparing,
    replaying,
    rewriting,
    standing,
    wording,
)
from syncmon_ext.sync import plan as plans
from syncmon_ext.sync import swap as swaps
from syncmon_ext.sync.databases import sessions
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sessions import READER
from syncmon_ext.sync.faults import fault_point
from syncmon_ext.sync.ownership import Ownership
from syncmon_ext.sync.results import (
    BatchResult,
    ConnectionCheck,
    Discarded,
    Leftover,
    Standing,
    SwapResult,
    UnitMark,
)

__all__ = [
    "batch",
    "claim",
    "clean",
    "copy",
    "discard",
    "forget",
    "hold_snapshot",
    "identify",
    "index",
    "leftovers",
    "plan",
    "prepare",
    "rejects",
    "replay",
    "stands",
    "swap",
    "test_connection",
    "walk",
]


def plan(task_id: str, spec: TaskSpec, source: Connection, target: Connection) -> Plan:
    """How each table of ``spec`` will be copied; a table that cannot be has ``errors``.

    Raises only where a database cannot be reached.
    """
    fault_point("plan.begin")
    made = plans.planned(task_id, spec, source, target)
    fault_point("plan.done")
    return made


def claim(target: Connection, own: Ownership, units: list[UnitPlan]) -> None:
    """Take the target tables for ``own``: older owners of the run end, then the token is raised.

    Raises TargetBusy, FenceLost.
    """
    claiming.claim(target, own, units)


def stands(target: Connection, own: Ownership, units: list[UnitPlan]) -> Standing:
    """What the target still has of the run, before it is claimed; raises nothing for what is not there."""
    return standing.found(target, own, units)


def identify(source: Connection, target: Connection) -> tuple[str, str]:
    """Which databases the two connections reach from here."""
    with (
        sessions.opened(source, READER) as reading,
        sessions.opened(target, f"{READER}/plan") as writing,
    ):
        return identity.of(reading), identity.of(writing)


def prepare(
    source: Connection,
    target: Connection,
    own: Ownership,
    unit: UnitPlan,
    snapshot: str | None,
    doubted: bool = False,
) -> UnitMark:
    """Make the unit's landing table unless it is there, and tell what is committed.

    ``doubted``: the target had more of it before. Raises LossyCopy and CopyFailed for a unit that has
    errors, FenceLost.
    """
    with wording.in_words_of(own, [unit]):
        return preparing.prepare(source, target, own, unit, snapshot, doubted)


def walk(
    source: Connection,
    unit: UnitPlan,
    low: KeyValue | None,
    high: KeyValue | None,
    sizes: list[int],
    snapshot: str | None,
    roughly: bool = False,
) -> list[Chunk]:
    """The next chunks of ``(low, high]``, one per entry of ``sizes`` (rows), or ``roughly`` so; the one that
    reaches the end has ``high`` as its own."""
    fault_point("walk.begin")
    with preparing.reading(source, snapshot) as session:
        found = chunks.following(session, unit, low, high, sizes, roughly=roughly)
        rewriting.check(source, session, [unit])
        return found


def copy(
    source: Connection,
    target: Connection,
    own: Ownership,
    unit: UnitPlan,
    chunk: Chunk,
    snapshot: str | None,
) -> ChunkResult:
    """Copy and commit a chunk with its checkpoint, or find that it is committed (``replayed``)."""
    with wording.in_words_of(own, [unit]):
        result = chunk_copy.copied(source, target, own, unit, chunk, snapshot)
    fault_point("chunk.returned")
    return result


def batch(
    source: Connection,
    target: Connection,
    own: Ownership,
    units: list[UnitPlan],
    rows: int,
    snapshot: str | None,
) -> BatchResult:
    """Put small tables in place together, each of at most ``rows`` rows; raises FenceLost."""
    return batch_copy.copied(source, target, own, units, rows, snapshot)


def index(target: Connection, own: Ownership, unit: UnitPlan) -> list[Chunk]:
    """Build the keys and indexes of a unit whose chunks are all committed; before ``swap``.

    With ``verify = "hash"`` the content is compared: chunks that differ are taken back and given."""
    with wording.in_words_of(own, [unit]):
        return swaps.index(target, own, unit)


def swap(target: Connection, own: Ownership, units: list[UnitPlan]) -> list[SwapResult]:
    """Put the rows of units that are tied together in place, in one transaction."""
    with wording.in_words_of(own, units):
        return swaps.swap(target, own, units)


def discard(target: Connection, own: Ownership, units: list[UnitPlan]) -> list[Discarded]:
    """A stop: staging, checkpoints and unit rows go; units in place stay and are listed."""
    return ending.discard(target, own, units)


def forget(target: Connection, own: Ownership, units: list[UnitPlan]) -> None:
    """The store has recorded the end: checkpoints and unit rows go, the fences are released."""
    ending.forget(target, own, units)


def leftovers(target: Connection) -> list[Leftover]:
    """What unfinished runs, of whatever store, have in the target."""
    return ending.leftovers(target)


def clean(target: Connection, run_ids: list[str]) -> list[Leftover]:
    """Drop what these runs left and release their fences."""
    return ending.clean(target, run_ids)


def rejects(target: Connection, store_id: str, task_id: str, limit: int) -> Rejects:
    """The newest ``limit`` bad rows of a task, and how many there are."""
    return replaying.listed(target, store_id, task_id, limit)


def replay(
    source: Connection,
    target: Connection,
    store_id: str,
    task_id: str,
    units: list[UnitPlan],
    seconds: float,
) -> Replayed:
    """Read the bad rows from the source again and put them in place; raises TargetBusy."""
    return replaying.replayed(source, target, store_id, task_id, units, seconds)


def test_connection(connection: Connection) -> ConnectionCheck:
    """Try to connect; never raises a SyncmonError, says it instead."""
    started = time.monotonic()
    dialect = version = ""
    try:
        dialect = engine_url.dialect(connection)
        with sessions.opened(connection, f"{READER}/test") as session:
            ask = "SHOW server_version" if dialect == "postgresql" else "SELECT sqlite_version()"
            version = str(session.execute(ask)[0][0])
        message = "connected"
    except SyncmonError as error:
        message = f"{error.message} ({error.hint})" if error.hint else error.message
    return ConnectionCheck(
        name=connection.name,
        dialect=dialect,
        version=version,
        ok=bool(version),
        message=message,
        seconds=time.monotonic() - started,
    )


test_connection.__test__ = False  # type: ignore[attr-defined]  # pytest takes it for a test


@contextmanager
def hold_snapshot(source: Connection) -> Iterator[str | None]:
    """The id of an exported snapshot of the source, valid within the block; None where it has none."""
    if engine_url.dialect(source) != "postgresql":
        yield None
        return
    session = sessions.connect(source, f"{READER}/snapshot")
    if not isinstance(session, PostgresSession):
        raise TypeError("only PostgreSQL has snapshots")
    try:
        with session.reading(None):
            yield str(session.execute("SELECT pg_export_snapshot()")[0][0])
    finally:
        session.close()
