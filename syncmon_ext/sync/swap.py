"""The swap: one last transaction that puts the rows of a unit, or of units tied together, in place."""
# ruff: noqa: S608  # names are quoted by sync.quoting

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

from syncmon_ext.model.chunk import Chunk
from syncmon_ext.model.connection import Connection
from syncmon_ext.model.errors import BadRow, CopyFailed, CountMismatch
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.model.task import Mode, Verify
from syncmon_ext.sync import (
    altered,
    checkpoint,
    circles,
    dangling,
    fence,
    names,
    new_checks,
    numbering,
    placing,
    ranges,
    refusals,
    rejects,
    staging,
    swap_postgresql,
    swap_sqlite,
    unit_row,
    verifying,
    watermark,
)
from syncmon_ext.sync.databases import sessions
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sessions import AnySession
from syncmon_ext.sync.databases.sqlite import SqliteSession
from syncmon_ext.sync.epoch import Epoch
from syncmon_ext.sync.faults import fault_point
from syncmon_ext.sync.ownership import Ownership
from syncmon_ext.sync.quoting import relation, shown
from syncmon_ext.sync.results import SwapResult
from syncmon_ext.sync.unit_row import UnitRow


def index(target: Connection, own: Ownership, unit: UnitPlan) -> list[Chunk]:
    """Make keys and indexes of the landing table, before the swap's short transaction; then compare the
    content, where that is asked for. Gives the chunks that are to be copied again."""
    with sessions.opened(target, own.application_name) as session:
        row = unit_row.found(session, own, unit.unit_id)
        if row is not None and row.swapped:
            return []
        if row is not None:
            _compare_total(session, own, unit, row)
            _refuse_too_many(session, own, unit)
        with session.transaction():
            if isinstance(session, PostgresSession):
                swap_postgresql.set_memory(session)
            with _read_already():
                staging.build_indexes(session, own, unit)
            fence.check(session, own, [unit])
            fault_point("index.before_commit")
        fault_point("index.after_commit")
        return verifying.taken_back(session, own, unit) if unit.verify is Verify.HASH else []


def _compare_total(session: AnySession, own: Ownership, unit: UnitPlan, row: UnitRow) -> None:
    """Raise where the copied rows are not as many as were counted in the snapshot that all were read in."""
    counted = Epoch.of(row.epoch).rows
    if counted is None or unit.max_rejects:
        return
    merged = ranges.merged(checkpoint.committed(session, own, unit.unit_id))
    copied = sum(chunk.rows or 0 for chunk in merged)
    if copied != counted and ranges.are_all(merged, row.upper):
        table = shown(unit.source_schema, unit.source_table)
        raise CountMismatch(
            f"table {table}: {counted:,} rows were counted in the source and {copied:,} were copied, in the "
            "same snapshot",
            hint=f"an index of the source may be damaged: REINDEX TABLE {table} there, then start fresh",
        )


def _refuse_too_many(session: AnySession, own: Ownership, unit: UnitPlan) -> None:
    """Raise where chunks that were copied side by side have rejected more rows together than may be."""
    count = _count_rejected(session, own, unit)
    if count > unit.max_rejects:
        table = shown(unit.target_schema, unit.target_table)
        with _read_already():
            raise BadRow(
                f"table {table}: {count:,} rows are bad, more than {unit.max_rejects:,} (max_rejects)",
                hint="mend the rows, or raise max_rejects",
            )


def swap(target: Connection, own: Ownership, units: Sequence[UnitPlan]) -> list[SwapResult]:
    """Put the rows of ``units`` in place together; a second call finds it done."""
    fault_point("swap.begin")
    with sessions.opened(target, own.application_name) as session:
        results: list[SwapResult] = []
        with session.transaction():
            if isinstance(session, PostgresSession):
                swap_postgresql.set_patience(session)
            fence.compare(session, own, units)  # an older owner learns it before it looks around
            found = {unit.unit_id: _complete(session, own, unit) for unit in units}
            rows = {unit_id: row.rows_swapped or 0 for unit_id, row in found.items()}
            waiting = [unit for unit in units if not found[unit.unit_id].swapped]
            _refuse_lost(session, waiting)
            for unit in waiting:
                altered.refuse_labels(session, unit, Epoch.of(found[unit.unit_id].epoch).labels)
            with _read_already():
                warnings = _put(session, own, waiting, rows)
            fault_point("swap.placed")
            watermark.forget_replaced(session, waiting)
            rejects.settle(session, own, [_read(unit, found[unit.unit_id]) for unit in waiting])
            for unit in waiting:
                done = unit_row.placed(session.dialect, own, unit.unit_id, rows[unit.unit_id])
                session.run_change(done)
                watermark.advance(session, own, unit, found[unit.unit_id].window)
            results = [
                SwapResult(
                    unit_id=unit.unit_id,
                    rows=rows[unit.unit_id],
                    warnings=warnings.get(unit.unit_id, []) + _rejected(session, own, unit),
                )
                for unit in units
            ]
            fence.check(session, own, units)
            fault_point("swap.before_commit")
        fault_point("swap.after_commit")
        return results


def _read(unit: UnitPlan, row: UnitRow) -> UnitPlan:
    """The unit with the window that its rows were read in."""
    return msgspec.structs.replace(unit, window=row.window)


def _rejected(session: AnySession, own: Ownership, unit: UnitPlan) -> list[str]:
    count = _count_rejected(session, own, unit)
    if not count:
        return []
    rows = "1 row was rejected" if count == 1 else f"{count:,} rows were rejected"
    return [f"{rows}: list them, mend them and replay them (tasks/{own.task_id}/rejects)"]


def _count_rejected(session: AnySession, own: Ownership, unit: UnitPlan) -> int:
    if not unit.max_rejects:
        return 0
    return int(session.run(rejects.counted(session.dialect, own, unit.unit_id))[0][0])


def _complete(session: AnySession, own: Ownership, unit: UnitPlan) -> UnitRow:
    """The unit's row, with the number of its rows; raises where a chunk is missing."""
    row = unit_row.found(session, own, unit.unit_id)
    table = shown(unit.target_schema, unit.target_table)
    if row is None:
        raise CopyFailed(f"table {table}: the target knows nothing of this run", hint="start fresh")
    if row.swapped:
        return row
    merged = ranges.merged(checkpoint.committed(session, own, unit.unit_id))
    if not ranges.are_all(merged, row.upper):
        raise CountMismatch(
            f"table {table}: its committed chunks do not cover the key's whole range",
            hint="start the task again: the missing ranges are copied",
        )
    return msgspec.structs.replace(row, rows_swapped=merged[0].rows)


@contextmanager
def _read_already() -> Iterator[None]:
    """Let refusals of rows say that they are not read again: all of the unit's chunks are committed."""
    try:
        yield
    except BadRow as error:
        hint = refusals.late_hint(error.hint)
        raise BadRow(error.message, hint=hint, column=error.column, reason=error.reason) from None


def _refuse_lost(session: AnySession, units: Sequence[UnitPlan]) -> None:
    """Raise where the new rows of a unit would come into a table that has lost the older ones."""
    lost = watermark.lost(session, units)
    for unit in units:
        if unit.unit_id not in lost:
            continue
        if watermark.stored(session, unit) is not None:
            raise CopyFailed(
                f"table {shown(unit.target_schema, unit.target_table)}: it was emptied or made anew "
                "after the run had begun, which read the new rows only",
                hint="start the task fresh: all rows are read again",
            )
        session.run_change(watermark.forgotten(session.dialect, [unit]))  # it read all of its own


def _put(
    session: AnySession, own: Ownership, units: Sequence[UnitPlan], rows: dict[str, int]
) -> dict[str, list[str]]:
    """Old rows go from the tables that point to others first; new ones come the other way."""
    if isinstance(session, PostgresSession):
        moved = swap_postgresql.locked(session, own, units)
    else:
        moved = [unit for unit in units if _is_moved(session, own, unit)]
    altered.refuse_in_target(session, moved)
    pointing = dangling.pointing_there(session, units)
    taken_off: list[circles.Key] = []
    if isinstance(session, PostgresSession):
        taken_off = circles.take_off(session, moved)
    for unit in reversed(moved):
        if unit.mode is Mode.REPLACE:
            _empty(session, unit)
    warnings: dict[str, list[str]] = {}
    for unit in units:
        if unit in moved:
            _move(session, own, unit, rows[unit.unit_id])
        elif unit.swap != "direct":
            if isinstance(session, PostgresSession):
                swap_postgresql.rename(session, own, unit)
            else:
                swap_sqlite.rename(session, own, unit)
    if isinstance(session, PostgresSession):
        circles.put_on(session, taken_off)
    dangling.refuse_more(session, pointing)
    for unit in units:
        warnings[unit.unit_id] = dangling.warnings(session, own, unit, staged=unit in moved)
        if unit in moved:
            session.change(f"DROP TABLE {relation(unit.target_schema, names.staging(own, unit))}")
        if isinstance(session, PostgresSession):
            warnings[unit.unit_id] += swap_postgresql.add_foreign_keys(session, unit)
            warnings[unit.unit_id] += new_checks.broken(session, unit)
    numbering.go_on(session, units)
    return warnings


def _empty(session: AnySession, unit: UnitPlan) -> None:
    """Take the old rows out; triggers, rules and policies of the target may hold some back."""
    table = relation(unit.target_schema, unit.target_table)
    if isinstance(session, PostgresSession):
        session.change("SET LOCAL row_security = off")  # a policy that hides rows is an error then
    with sessions.usual_settings(session):
        session.change(f"DELETE FROM {table}")
    if session.execute(f"SELECT 1 FROM {table} LIMIT 1"):
        raise CopyFailed(
            f"table {shown(unit.target_schema, unit.target_table)}: rows stay in it after a DELETE of all",
            hint="a trigger or a rule of the target holds them back: take it off, or use mode = append; "
            "the table is as it was",
        )


def _is_moved(session: SqliteSession, own: Ownership, unit: UnitPlan) -> bool:
    if unit.swap == "rename":
        return swap_sqlite.loses(session, own, unit)
    return unit.swap in ("move", "merge")


def _move(session: AnySession, own: Ownership, unit: UnitPlan, expected: int) -> None:
    stage = relation(unit.target_schema, names.staging(own, unit))
    moved = placing.placed(session, unit, stage, merge=unit.swap == "merge")
    if moved != expected:
        raise CountMismatch(
            f"table {shown(unit.target_schema, unit.target_table)}: {expected} rows were copied and "
            f"{moved} came into the table",
            hint="a trigger or a rule of the target may drop rows; the table is as it was",
        )
