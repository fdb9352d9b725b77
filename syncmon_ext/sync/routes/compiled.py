"""The compiled inner loops, where the installation has them, and what they can do.

They are optional: without a compiler at installation the routes do the same in Python.
"""

from __future__ import annotations

import array
import os
import sqlite3
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from syncmon_ext.model.plan import ColumnPlan, UnitPlan
from syncmon_ext.sync import types
from syncmon_ext.sync.databases.sqlite import SqliteSession

if TYPE_CHECKING:
    from syncmon_ext.sync.routes import _copy as Loops  # noqa: N812

SWITCH: Final = "SYNCMON_COMPILED"  # "0" switches the compiled loops off, to find out who errs
_KINDS: Final = {
    types.INTEGER: b"i",
    types.REAL: b"r",
    types.TEXT: b"t",
    types.BLOB: b"b",
    types.BOOLEAN: b"o",
    types.NUMBER: b"n",
    types.DATE: b"d",
}
_LIMITED: Final = {"text": b"l", "char": b"c", "numeric": b"s"}  # checks with a number behind them
_LANDING: Final = (types.INTEGER, types.REAL, types.TEXT, types.BLOB, types.BOOLEAN)


def _found() -> tuple[Any, bool]:
    """The loops, and whether they know SQLite."""
    if os.environ.get(SWITCH) == "0":
        return None, False
    try:
        from syncmon_ext.sync.routes import _copy as loops
    except ImportError:
        return None, False
    import _sqlite3

    # Where the module is part of the interpreter, so is SQLite.
    return loops, loops.use_sqlite(getattr(_sqlite3, "__file__", None), sqlite3.OperationalError)


_loops, _knows_sqlite = _found()


def for_sqlite() -> Loops | None:  # type: ignore[valid-type]
    """The loops where they can work on SQLite's connections."""
    return _loops if _knows_sqlite else None


def for_postgresql() -> Loops | None:  # type: ignore[valid-type]
    """The loops where they can work on psycopg's connections."""
    return _loops if _knows_libpq() else None


@cache
def _knows_libpq() -> bool:
    import psycopg  # nobody else needs it who copies between files

    if _loops is None or psycopg.pq.__impl__ == "python":
        return False
    module = "psycopg_binary" if psycopg.pq.__impl__ == "binary" else "psycopg_c"
    path = getattr(__import__(f"{module}._psycopg")._psycopg, "__file__", None)
    return path is not None and bool(_loops.use_libpq(path))


def handle(session: SqliteSession) -> int | None:
    """The address of SQLite's own object of a connection; None of one that is older than the loops."""
    try:
        return int(session.raw.execute("SELECT _syncmon_handle()").fetchone()[0])
    except sqlite3.Error:
        return None


def reading_kinds(unit: UnitPlan) -> tuple[bytes, bytes] | None:
    """What each column of a SQLite table may hold, with its limit; None where Python must look."""
    kinds, limits = b"", array.array("i")
    for column in unit.copied:
        rule, _, size = column.check.partition(":")
        kind = _LIMITED.get(rule) if size else _KINDS.get(rule)
        if kind is None or size.startswith("-"):  # of numeric(5,-2), whose integers are rounded
            return None
        kinds += kind
        limits.append(int(size or 0))
    return kinds, limits.tobytes()


def landing_kinds(columns: list[ColumnPlan]) -> bytes | None:
    """What the text of each column becomes in SQLite."""
    if any(column.check not in _LANDING for column in columns):
        return None
    return b"".join(_KINDS[column.check] for column in columns)
