"""Batches: which small tables one job copies together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from syncmon_ext.model.task import Mode, Verify
from syncmon_ext.sync.unit_copy import UnitCopy

UNITS: Final = 50  # of a batch: two of them occupy both slots within a moment of a thousand tables
TABLE_ROWS: Final = 5_000  # of a table; more of them are worth jobs of their own
ROWS: Final = 50_000  # of all tables of a batch


def fits(copy: UnitCopy, rows: int) -> bool:
    """True where the unit can be copied from nothing to in place at one stroke, as far as the plan tells:
    it has at most ``rows`` rows, nothing ties it to other tables, and nothing is asked for in between."""
    plan, total = copy.plan, copy.runtime.rows_total
    return (
        not (copy.alone or copy.busy or copy.prepared or copy.ended)
        and plan.swap in ("create", "rename")
        and plan.mode in (Mode.REPLACE, Mode.APPEND)
        and plan.verify is Verify.COUNT
        and not (plan.max_rejects or plan.depends_on or plan.tied_to or plan.foreign_keys)
        and (total is None or total <= rows)
    )


def gathered(units: Iterable[UnitCopy], rows: int) -> list[UnitCopy]:
    """The next batch of ``units``, in their order."""
    batch: list[UnitCopy] = []
    held = 0
    for copy in units:
        if not fits(copy, rows):
            continue
        held += copy.runtime.rows_total or 0
        if batch and held > ROWS:
            break
        batch.append(copy)
        if len(batch) == UNITS:
            break
    return batch
