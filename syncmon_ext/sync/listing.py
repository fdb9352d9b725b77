"""Lists of values as a table of one statement: what concerns many units is one question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import BigInteger, FromClause, Text, bindparam, column, func, select


def listed(dialect: str, **columns: Sequence[Any]) -> FromClause:
    """A table ``listed`` of the given columns, each as long as the others: of texts, or of integers."""
    if dialect == "postgresql":
        from sqlalchemy.dialects.postgresql import ARRAY

        kinds = {name: _kind(values) for name, values in columns.items()}
        arrays = [
            bindparam(None, list(values), type_=ARRAY(kinds[name]))
            for name, values in columns.items()
        ]
        names = [column(name, kinds[name]) for name in columns]
        return func.unnest(*arrays).table_valued(*names).render_derived("listed")
    lines = list(zip(*columns.values(), strict=True))
    each = func.json_each(bindparam(None, msgspec.json.encode(lines).decode())).table_valued(
        "value"
    )
    return select(
        *(
            func.json_extract(each.c.value, f"$[{at}]").label(name)
            for at, name in enumerate(columns)
        )
    ).subquery("listed")


def _kind(values: Sequence[Any]) -> Text | BigInteger:
    return BigInteger() if values and isinstance(values[0], int) else Text()
