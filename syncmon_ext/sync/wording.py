"""Errors in the user's words: they name the table that is copied to, not the one that rows land in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from syncmon_ext.model.errors import BadRow, CopyFailed
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync import names
from syncmon_ext.sync.ownership import Ownership
from syncmon_ext.sync.quoting import shown


def named(own: Ownership, unit: UnitPlan, text: str) -> str:
    """``text`` with the target's name where the staging table's stands."""
    return text.replace(names.staging(own, unit), unit.target_table)


@contextmanager
def renamed(ours: str, theirs: str) -> Iterator[None]:
    """Let errors speak of ``theirs`` where they would of ``ours``."""
    try:
        yield
    except CopyFailed as error:
        raise _changed(
            error, error.message.replace(ours, theirs), error.hint.replace(ours, theirs)
        ) from None


@contextmanager
def in_words_of(own: Ownership, units: Sequence[UnitPlan]) -> Iterator[None]:
    """Let errors speak of the user's tables: their names, and which of them it is."""
    try:
        yield
    except CopyFailed as error:
        message = error.message
        for unit in units:
            message = named(own, unit, message)
        if not message.startswith("table ") and len(units) == 1:
            unit = units[0]
            message = f"table {shown(unit.target_schema, unit.target_table)}: {message}"
        raise _changed(error, message, error.hint) from None


def _changed(error: CopyFailed, message: str, hint: str) -> CopyFailed:
    if isinstance(error, BadRow):
        return BadRow(message, hint=hint, column=error.column, reason=error.reason)
    return type(error)(message, hint=hint)
