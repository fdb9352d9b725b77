"""The statements of the table ``task_unit_runtimes``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Final, cast

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    LargeBinary,
    Row,
    Text,
    bindparam,
    case,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)

from syncmon_ext.model.state import UnitState
from syncmon_ext.model.unit import UnitRuntime
from syncmon_ext.store.schema import runs, task_unit_runtimes
from syncmon_ext.store.tasks import bump

_NAMES = UnitRuntime.__struct_fields__
_FIELDS = [task_unit_runtimes.c[name] for name in _NAMES]
_STATES = {str(state): state for state in UnitState}
_encode = msgspec.json.Encoder().encode
SAVED_AT_ONCE: Final = 500  # units of a statement: the parameters of 10,000 take 100 MiB


def pending_unit(unit_id: str, table: str, target_table: str) -> UnitRuntime:
    """A unit that waits for its turn: what Start makes of every table."""
    return UnitRuntime(
        unit_id=unit_id,
        table=table,
        target_table=target_table,
        state=UnitState.PENDING,
        progress=None,
        rows_total=None,
        rows_total_is_estimate=False,
        rows_committed=0,
        bytes_committed=0,
        speed=None,
        eta_seconds=None,
        chunks_total=None,
        chunks_committed=0,
        attempt=0,
        started_at=None,
        finished_at=None,
        error=None,
    )


def create_units(connection: Connection, run_id: str, units: Sequence[UnitRuntime]) -> None:
    """Make the runtime records of a new run, in the order of ``units``."""
    if units:
        connection.execute(
            insert(task_unit_runtimes),
            [
                {
                    **msgspec.structs.asdict(unit),
                    "run_id": run_id,
                    "ordinal": ordinal,
                    "revision": 0,
                    "encoded": _encode(unit),
                    "encoded_revision": 0,
                }
                for ordinal, unit in enumerate(units)
            ],
        )


def units_of_run(connection: Connection, run_id: str) -> list[UnitRuntime]:
    """The run's units in the order of copying."""
    rows = connection.execute(
        select(*_FIELDS)
        .where(task_unit_runtimes.c.run_id == run_id)
        .order_by(task_unit_runtimes.c.ordinal)
    )
    return [_unit(row) for row in rows]


def units_changed_since(connection: Connection, run_id: str, revision: int) -> list[UnitRuntime]:
    """The run's units that changed after the task's ``revision``."""
    rows = connection.execute(
        select(*_FIELDS)
        .where(task_unit_runtimes.c.run_id == run_id, task_unit_runtimes.c.revision > revision)
        .order_by(task_unit_runtimes.c.ordinal)
    )
    return [_unit(row) for row in rows]


def unit_texts(
    connection: Connection, run_id: str, revision: int | None = None
) -> dict[str, bytes]:
    """The run's units as JSON by unit_id, in the order of copying; or those that changed since."""
    columns = task_unit_runtimes.c
    wanted = [columns.run_id == run_id]
    if revision is not None:
        wanted.append(columns.revision > revision)
    result = connection.execute(
        select(columns.unit_id, _kept()).where(*wanted).order_by(columns.ordinal)
    )
    # The driver's own tuples: SQLAlchemy's rows of 10,000 units cost half as much again.
    found: dict[str, bytes | None] = dict(result.cursor.fetchall())
    result.close()
    if None in found.values():
        left = (columns.encoded_revision == columns.revision).is_not(True)
        for row in connection.execute(select(*_FIELDS).where(*wanted, left)):
            unit = _unit(row)
            found[unit.unit_id] = _encode(unit)
    return cast("dict[str, bytes]", found)


def joined_texts(connection: Connection, run_id: str) -> tuple[bytes, int] | None:
    """The run's units as JSON with commas between, in the order of copying, and how many they are.

    None where a unit has no text of its newest revision.
    """
    if connection.dialect.name == "postgresql":
        return _joined_by_postgresql(connection, run_id)
    columns = task_unit_runtimes.c
    result = connection.execute(
        select(_kept()).where(columns.run_id == run_id).order_by(columns.ordinal)
    )
    # One value of one row at a time, from the driver: two thirds of the time of fetching pairs.
    cursor: Any = result.cursor
    texts = [text for (text,) in cursor]
    result.close()
    return None if None in texts else (b",".join(texts), len(texts))


def _joined_by_postgresql(connection: Connection, run_id: str) -> tuple[bytes, int] | None:
    """The same in half the time: as one text, where 10,000 binary values come in hexadecimal."""
    columns = task_unit_runtimes.c
    in_order = func.string_agg(_kept(), literal(b",", LargeBinary)).aggregate_order_by(
        columns.ordinal
    )
    joined = func.convert_from(in_order, "UTF8", type_=Text)
    count, kept, text = connection.execute(
        select(func.count(), func.count(_kept()), joined).where(columns.run_id == run_id)
    ).one()
    return ((text or "").encode(), count) if kept == count else None


def _kept() -> ColumnElement[bytes | None]:
    """A unit's text, NULL where it was left behind."""
    columns = task_unit_runtimes.c
    return case((columns.encoded_revision == columns.revision, columns.encoded))


def _unit(row: Row[Any]) -> UnitRuntime:
    values = dict(zip(_NAMES, row, strict=True))  # of 10,000 rows: a mapping of each costs more
    values["state"] = _STATES[values["state"]]
    return UnitRuntime(**values)


_UPDATE = (
    update(task_unit_runtimes)
    .where(
        task_unit_runtimes.c.run_id == bindparam("b_run_id"),
        task_unit_runtimes.c.unit_id == bindparam("b_unit_id"),
    )
    .values(
        {
            name: bindparam(f"v_{name}")
            for name in (*_NAMES, "revision", "encoded", "encoded_revision")
        }
    )
)


def save_units(
    connection: Connection, task_id: str, run_id: str, units: Iterable[UnitRuntime]
) -> None:
    """Write the units as they are now, under the task's next revision."""
    revision = bump(connection, task_id)
    left = iter(units)
    while changed := list(islice(left, SAVED_AT_ONCE)):
        connection.execute(
            _UPDATE,
            [
                {
                    "b_run_id": run_id,
                    "b_unit_id": unit.unit_id,
                    "v_revision": revision,
                    "v_encoded": _encode(unit),
                    "v_encoded_revision": revision,
                    **{f"v_{k}": v for k, v in msgspec.structs.asdict(unit).items()},
                }
                for unit in changed
            ],
        )


def set_unfinished(connection: Connection, task_id: str, run_id: str, state: UnitState) -> None:
    """Show the units that a lost worker had in its hands in ``state``."""
    connection.execute(
        update(task_unit_runtimes)
        .where(
            task_unit_runtimes.c.run_id == run_id,
            task_unit_runtimes.c.state.in_(
                [UnitState.RUNNING, UnitState.SWAPPING, UnitState.PAUSED, UnitState.INTERRUPTED]
            ),
        )
        .values(state=state, speed=None, eta_seconds=None, revision=bump(connection, task_id))
    )


def clear_units(connection: Connection, run_id: str, final: Sequence[UnitRuntime]) -> None:
    """Remove the run's runtime records and keep their last state in the run itself."""
    connection.execute(update(runs).where(runs.c.run_id == run_id).values(final_units=list(final)))
    connection.execute(delete(task_unit_runtimes).where(task_unit_runtimes.c.run_id == run_id))
