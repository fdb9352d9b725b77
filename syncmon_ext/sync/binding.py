"""Values of a statement on their way to the driver: bound to placeholders, or written as literals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from syncmon_ext.sync.quoting import ident, read_column

Bind = Callable[[Any], str]


class Binder:
    """Collects values for SQLite's placeholders."""

    def __init__(self, placeholder: str = "?") -> None:
        self.placeholder = placeholder
        self.values: list[Any] = []

    def __call__(self, value: Any) -> str:
        self.values.append(value)
        return self.placeholder


def naming(bind: Bind) -> Callable[[str], str]:
    """How columns are named in a statement whose values go through ``bind``."""
    return read_column if isinstance(bind, Binder) else ident
