"""Whether the row at a rowid is still the one that was set aside.

VACUUM gives rows without a key other rowids, and so does loading their table anew.
"""
# ruff: noqa: S608  # names are quoted by sync.quoting; values are bound

from __future__ import annotations

import msgspec

from syncmon_ext.model.errors import BadRow
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.model.reject import Reject
from syncmon_ext.sync import bad_rows
from syncmon_ext.sync.quoting import read_column, relation, shown
from syncmon_ext.sync.routes.base import Way


def recognised(way: Way, row: UnitPlan, reject: Reject) -> Reject:
    """``reject`` with the values that its row has now; ``row`` is the unit of that row alone.

    It may have been mended in one column, if no other row has the values of the rest. Raises BadRow where
    it cannot be told from another.
    """
    schema = way.schema or "main"
    found = bad_rows.values_of(way.reader, schema, msgspec.structs.replace(row, where={}))
    if found is not None:
        kept = reject.row or {}
        changed = [name for name, value in found.items() if kept.get(name) != value]
        known = found.keys() == kept.keys() and len(changed) <= 1
        if known and not (changed and _has_twin(way, schema, row, changed[0])):
            return msgspec.structs.replace(reject, row=found)
    place = " and ".join(f"{name} = {value}" for name, value in reject.key.items())
    reason = "the row is not found again: it was moved, deleted, or changed in more than one column"
    hint = (
        f"table {row.source_table} has no key, and VACUUM or loading it anew gives its rows other places: "
        "start the task fresh; declare a unique key NOT NULL, so that its bad rows are found by it"
    )
    raise BadRow(
        f"table {shown(None, row.source_table)}, the row set aside at {place}: {reason}; {hint}",
        hint=hint,
        column=reject.column or "",
        reason=reason,
    )


def _has_twin(way: Way, schema: str, row: UnitPlan, changed: str) -> bool:
    """Whether another row has the same values, but for the column that changed."""
    place = read_column(row.key[0])
    same = [
        f"b.{name} IS a.{name}"
        for column in row.copied
        if column.name != changed
        for name in [read_column(column.name)]
    ]
    table = relation(schema, row.source_table)
    found = way.reader.execute(
        f"SELECT EXISTS (SELECT 1 FROM {table} AS a, {table} AS b WHERE "
        f"{' AND '.join([f'a.{place} = ?', f'b.{place} <> a.{place}', *same])})",
        row.only or [],
    )
    return bool(found[0][0])
