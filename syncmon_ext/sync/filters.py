"""Structured filters: the `where` of a table as SQL, its values bound or quoted, never pasted."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Final

from syncmon_ext.model.task import FILTER_OPERATORS, NULL_OPERATORS
from syncmon_ext.sync.binding import Bind, naming
from syncmon_ext.sync.near_names import offered

_SCALARS: Final = (str, int, float, bool, type(None))


def problems(where: Mapping[str, Any], columns: list[str]) -> list[str]:
    """What is wrong with a filter, for a person; empty where nothing is."""
    found = []
    for column, condition in where.items():
        if column not in columns:
            found.append(f"where: there is no column {column}; {offered([column], columns)}")
            continue
        if isinstance(condition, Mapping):
            unknown = [op for op in condition if op not in FILTER_OPERATORS]
            if unknown or not condition:
                found.append(
                    f"where.{column}: unknown operator {', '.join(map(repr, unknown)) or '(none)'}; "
                    f"use one of {' '.join(FILTER_OPERATORS)}"
                )
            found.extend(
                f"where.{column}: no value is {op} null; write null for the rows without a value, or != null "
                "for those with one"
                for op, value in condition.items()
                if value is None and op not in NULL_OPERATORS
            )
            values = list(condition.values())
        else:
            values = condition if isinstance(condition, list) else [condition]
        bad = [v for v in map(_plain, values) if not isinstance(v, _SCALARS)]
        found.extend(
            f"where.{column}: {value!r} is not a value to compare with; give a text, a number, true, "
            "false, a time, or a list of them"
            for value in bad
        )
    return found


def predicate(where: Mapping[str, Any], bind: Bind) -> list[str]:
    """The filter as conditions to be joined with AND; ``bind`` gives the text of a value."""
    conditions: list[str] = []
    named = naming(bind)
    for column, condition in where.items():
        name = named(column)
        if isinstance(condition, Mapping):
            conditions.extend(_compare(name, op, _plain(v), bind) for op, v in condition.items())
        elif isinstance(condition, list):
            conditions.append(_one_of(name, [_plain(v) for v in condition], bind))
        else:
            conditions.append(_compare(name, "=", _plain(condition), bind))
    return conditions


def _plain(value: Any) -> Any:
    # TOML has dates and times; both databases read their ISO text.
    if isinstance(value, datetime.datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return value


def _compare(name: str, operator: str, value: Any, bind: Bind) -> str:
    if value is None:
        return f"{name} IS NOT NULL" if operator == "!=" else f"{name} IS NULL"
    return f"{name} {'<>' if operator == '!=' else operator} {bind(value)}"


def _one_of(name: str, values: list[Any], bind: Bind) -> str:
    some = [bind(value) for value in values if value is not None]
    parts = [f"{name} IN ({', '.join(some)})"] if some else []
    if None in values:
        parts.append(f"{name} IS NULL")
    return f"({' OR '.join(parts)})" if parts else "1 = 0"
