"""A table without rules that leaves out its least worthy columns where a terminal is too narrow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

CUT_CELLS: Final = 16  # enough of a name to know it by


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """How wide a column is, and what it is worth: the one that is worth least goes first."""

    worth: int
    justify: Literal["left", "right"] = "left"
    least: int = 0  # cells
    most: int | None = None  # cells; a longer text is cut, where it must be to CUT_CELLS of them
    after: int = 2  # cells between this column and the next


class Fitting:
    """Rows of texts under ``columns``."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self.rows: list[Sequence[Text]] = []

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The columns that fit."""
        kept = list(range(len(self._columns)))
        while len(kept) > 1 and sum(map(self._needed, kept)) > options.max_width:
            kept.remove(min(kept, key=lambda number: self._columns[number].worth))
        table = Table.grid(padding=0)
        for number in kept:
            column = self._columns[number]
            table.add_column(
                justify=column.justify,
                min_width=min(column.least, options.max_width),
                max_width=column.most,
                no_wrap=True,
                overflow="ellipsis",
            )
            table.add_column(min_width=column.after, max_width=column.after)
        for row in self.rows:
            table.add_row(*(cell for number in kept for cell in (row[number], Text(""))))
        yield table

    def _needed(self, number: int) -> int:
        """The cells without which the column says too little, and those behind it."""
        column = self._columns[number]
        longest = max((row[number].cell_len for row in self.rows), default=0)
        if column.most is not None:
            longest = min(longest, column.most, CUT_CELLS)
        return max(column.least, longest) + column.after
