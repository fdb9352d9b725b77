"""Texts of SQLite that are not UTF-8, on their way through Python: their bytes stay as they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any


class OddText(bytes):
    """The bytes of a text that cannot be decoded."""


class OddTexts:
    """Tells the rows that hold such a text, which take a statement of their own, from all others."""

    def __init__(self) -> None:
        self._met = False
        self._rows: list[tuple[Any, ...]] = []

    def read(self, text: bytes) -> str | OddText:
        """What is read for a text."""
        try:
            return text.decode()
        except UnicodeDecodeError:
            self._met = True
            return OddText(text)

    def plain(self, rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        """``rows`` without those that hold one, which ``taken`` gives."""
        for row in rows:
            if self._met and any(isinstance(value, OddText) for value in row):
                self._rows.append(row)
            else:
                yield row

    def taken(self) -> list[tuple[str, tuple[Any, ...]]]:
        """The rows that were left out since the last call, each with the marks that it is bound to."""
        rows, self._rows = self._rows, []
        return [
            (
                ", ".join("CAST(? AS TEXT)" if isinstance(v, OddText) else "?" for v in row),
                row,
            )
            for row in rows
        ]
