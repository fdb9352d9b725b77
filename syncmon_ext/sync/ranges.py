"""Key ranges: as SQL that the key's index answers, and as a set whose gaps are what is left to copy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from syncmon_ext.model.chunk import Chunk, KeyValue
from syncmon_ext.model.errors import CopyFailed
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync import filters
from syncmon_ext.sync.binding import Bind, naming
from syncmon_ext.sync.binding import Binder as Binder
from syncmon_ext.sync.keys import unpacked
from syncmon_ext.sync.quoting import ident

LAST_LINE: Final = 65_535  # above any line pointer of a heap page: the end of a block


def key_terms(unit: UnitPlan, alias: str = "", named: Callable[[str], str] = ident) -> list[str]:
    """The key's columns with the collation of the index, as its index is asked for."""
    prefix = f"{alias}." if alias else ""
    return [
        prefix + named(name) + (f" COLLATE {ident(collation)}" if collation else "")
        for name, collation in zip(unit.key, unit.key_collations, strict=True)
    ]


def conditions(
    unit: UnitPlan, low: KeyValue | None, high: KeyValue | None, bind: Bind
) -> list[str]:
    """``(low, high]``, and the unit's window or only row, as conditions to be joined with AND; ``bind``
    gives the text of a value."""
    found = _window(unit, bind)
    if unit.only is not None:
        terms = key_terms(unit, named=naming(bind))
        values = unpacked(unit.only)
        found += [f"{term} = {bind(at)}" for term, at in zip(terms, values, strict=True)]
    if low is not None:
        found.append(_compare(unit, ">", low, bind))
    if high is not None:
        found.append(_compare(unit, "<=", high, bind))
    return found


def _window(unit: UnitPlan, bind: Bind) -> list[str]:
    if unit.window is None or unit.cursor is None:
        return []
    if unit.window.high is None:
        return ["1 = 0"]
    column = naming(bind)(unit.cursor)
    found = [f"{column} <= {bind(unpacked(unit.window.high)[0])}"]
    if unit.window.low is not None:
        found.append(f"{column} >= {bind(unpacked(unit.window.low)[0])}")
    return found


def _compare(unit: UnitPlan, operator: str, key: KeyValue, bind: Bind) -> str:
    if unit.chunk_method == "ctid":
        return f"ctid {operator} '({key[0]},{LAST_LINE})'::tid"
    terms = key_terms(unit, named=naming(bind))[: len(key)]
    if len(terms) == 1 or isinstance(bind, Binder) or any(unit.key_collations):
        return _one_by_one(terms, operator, unpacked(key), bind)
    first, *rest = [bind(value) for value in unpacked(key)]
    row = f"({', '.join(terms)}) {operator} ({', '.join([first, *rest])})"
    # PostgreSQL guesses that a row's comparison keeps a third of a table, and reads all of it then: the
    # first column's own comparison, which follows from the row's, has statistics.
    return f"{terms[0]} {operator[0]}= {first} AND {row}"


def _one_by_one(terms: Sequence[str], operator: str, values: Sequence[Any], bind: Bind) -> str:
    """A row's comparison in scalar ones: SQLite asks no index for a row whose terms have a collation, and
    has no names for the values that are bound."""
    term, value = terms[0], values[0]
    if len(terms) == 1:
        return f"{term} {operator} {bind(value)}"
    beyond = operator[0]
    return (
        f"{term} {beyond}= {bind(value)} AND ({term} {beyond} {bind(value)} OR "
        f"({_one_by_one(terms[1:], operator, values[1:], bind)}))"
    )


def where(unit: UnitPlan, low: KeyValue | None, high: KeyValue | None, bind: Bind) -> str:
    """The WHERE clause of a chunk: its range and the unit's filter; empty where it is all rows."""
    parts = conditions(unit, low, high, bind) + filters.predicate(unit.where, bind)
    return f" WHERE {' AND '.join(parts)}" if parts else ""


def merged(chunks: Sequence[Chunk]) -> list[Chunk]:
    """Neighbouring chunks joined, with the sums of their rows and bytes; in no order.

    Raises CopyFailed where two begin at one key: rows would be there twice.
    """
    by_low = {_name(chunk.low): chunk for chunk in chunks}
    if len(by_low) < len(chunks):
        raise CopyFailed(
            "committed chunks overlap: rows would be in the target twice",
            hint="start the task fresh: it is copied anew",
        )
    ends = {_name(chunk.high) for chunk in chunks if chunk.high is not None}
    result = []
    for chunk in chunks:
        if chunk.low is not None and _name(chunk.low) in ends:
            continue
        rows, size, last = chunk.rows or 0, chunk.bytes or 0, chunk
        while last.high is not None and (following := by_low.get(_name(last.high))) is not None:
            rows, size = rows + (following.rows or 0), size + (following.bytes or 0)
            last = following
        result.append(Chunk(low=chunk.low, high=last.high, rows=rows, bytes=size))
    return result


def are_all(merged: Sequence[Chunk], upper: KeyValue | None) -> bool:
    """Whether merged chunks are the whole of ``(start, upper]``."""
    return len(merged) == 1 and merged[0].low is None and merged[0].high == upper


def _name(key: KeyValue | None) -> str:
    return repr(key)


def gaps(
    committed: Sequence[Chunk], upper: KeyValue | None
) -> list[tuple[KeyValue | None, KeyValue | None]]:
    """What is left of ``(start, upper]``: the complement of merged ranges in the key's order."""
    left: list[tuple[KeyValue | None, KeyValue | None]] = []
    position: KeyValue | None = None
    for chunk in committed:
        if chunk.low != position:
            left.append((position, chunk.low))
        position = chunk.high
        if position == upper:
            return left
    left.append((position, upper))
    return left
