"""Tables as pandas DataFrames of a fixed schema, also when they are empty.

Times are tz-aware (UTC), counts nullable ``Int64``, durations timedeltas, states and levels
categoricals with all their values; the columns have the names of the fields everywhere else.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, cast

import msgspec
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from syncmon_ext.model.log import LogEntry
from syncmon_ext.model.plan import ColumnPlan, Plan, UnitPlan
from syncmon_ext.model.progress import Progress
from syncmon_ext.model.run import RunSummary
from syncmon_ext.model.sample import HistorySample
from syncmon_ext.model.unit import UnitRuntime
from syncmon_widgets.plot import HistoryPlot

_SECONDS: Final = "_seconds"
_DTYPES: Final = {
    pa.string(): pd.StringDtype("pyarrow"),
    pa.large_string(): pd.StringDtype("pyarrow"),
    pa.int64(): pd.Int64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
}
_ARROW: Final = (
    (bool, pa.bool_()),
    (int, pa.int64()),
    (float, pa.float64()),
    (datetime, pa.timestamp("us", tz="UTC")),
    (str, pa.string()),
)


class TaskFrame(pd.DataFrame):
    """A DataFrame that is an Arrow table for the asking: ``to_arrow()``, ``__arrow_c_stream__``."""

    @property
    def _constructor(self) -> Callable[..., pd.DataFrame]:
        return pd.DataFrame  # what is made of it is an ordinary one

    def to_arrow(self) -> pa.Table:
        """The same as an Arrow table."""
        return pa.Table.from_pandas(self, preserve_index=False).replace_schema_metadata(None)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The same for any library that reads Arrow's C stream, such as polars."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)


class HistoryFrame(TaskFrame):
    """Progress samples; ``plot()`` draws the runs, with arguments it is that of any DataFrame."""

    @property
    def plot(self) -> Any:
        """The drawing, or pandas' own plots: ``plot()``, ``plot.line(…)``."""
        return HistoryPlot(self)


class PlannedColumn(msgspec.Struct, frozen=True, kw_only=True):
    """A column of a table as it will be copied, with what holds for the table.

    A table without columns, since it is missing or cannot be copied, has one row that says why in
    ``errors``, and None for what a column would have.
    """

    unit_id: str
    ordinal: int
    target_table: str
    column: str | None
    source_type: str | None
    target_type: str | None
    nullable: bool | None
    key: bool | None
    lossy: bool | None
    reason: str | None
    chunk_method: str
    route: str
    mode: str
    swap: str
    rows_total: int | None
    rows_total_is_estimate: bool
    warnings: str
    errors: str


def progress_frame(progress: Progress) -> TaskFrame:
    """One row, without the units."""
    return TaskFrame(
        _frame(Progress, _rows(Progress, [progress]), leave=("kind", "units", "units_partial"))
    )


def units_frame(progress: Progress) -> TaskFrame:
    """A row for each unit, in the order of copying."""
    return TaskFrame(_frame(UnitRuntime, _rows(UnitRuntime, progress.units)))


def runs_frame(runs: list[RunSummary]) -> TaskFrame:
    """A row for each run, newest first."""
    return TaskFrame(_frame(RunSummary, _rows(RunSummary, runs)))


def logs_frame(table: pa.Table) -> TaskFrame:
    """A row for each entry, oldest first."""
    return TaskFrame(_frame(LogEntry, table))


def history_frame(table: pa.Table, counts: str) -> HistoryFrame:
    """A row for each sample, oldest first; ``counts`` names what is counted, for the drawing."""
    frame = HistoryFrame(_frame(HistorySample, table))
    frame.attrs["counts"] = counts
    return frame


def plan_frame(plan: Plan) -> TaskFrame:
    """A row for each column of each table, in the order of copying; one for a table without columns."""
    found = [
        _planned(unit, column)
        for unit in plan.units
        for column in cast("list[ColumnPlan | None]", unit.columns) or [None]
    ]
    return TaskFrame(_frame(PlannedColumn, _rows(PlannedColumn, found)))


def _planned(unit: UnitPlan, column: ColumnPlan | None) -> PlannedColumn:
    return PlannedColumn(
        unit_id=unit.unit_id,
        ordinal=unit.ordinal,
        target_table=unit.target_table,
        column=None if column is None else column.name,
        source_type=None if column is None else column.source_type,
        target_type=None if column is None else column.target_type,
        nullable=None if column is None else column.nullable,
        key=None if column is None else column.name in unit.key,
        lossy=None if column is None else column.lossy,
        reason=None if column is None else column.reason,
        chunk_method=unit.chunk_method,
        route=unit.route,
        mode=unit.mode.value,
        swap=unit.swap,
        rows_total=unit.rows_total,
        rows_total_is_estimate=unit.rows_total_is_estimate,
        warnings="; ".join(unit.warnings),
        errors="; ".join(unit.errors),
    )


def _rows(kind: type[msgspec.Struct], rows: Iterable[Any]) -> pa.Table:
    """The flat fields of structs as an Arrow table."""
    held = list(rows)
    columns = {
        name: pa.array([getattr(row, name) for row in held], arrow)
        for name, hint in typing.get_type_hints(kind).items()
        if name in kind.__struct_fields__ and (arrow := _arrow_type(_plain(hint))) is not None
    }
    return pa.table(columns)


def _frame(
    kind: type[msgspec.Struct], table: pa.Table, leave: tuple[str, ...] = ()
) -> pd.DataFrame:
    """The DataFrame of a table whose columns are the fields of ``kind``."""
    hints = typing.get_type_hints(kind)
    columns = {
        name: _column(name, _plain(hints[name]), table.column(name))
        for name in kind.__struct_fields__
        if name in table.column_names and name not in leave
    }
    frame: pd.DataFrame = pa.table(columns).to_pandas(types_mapper=_DTYPES.get)
    return frame


def _column(name: str, kind: type[Any], values: pa.ChunkedArray) -> pa.ChunkedArray:
    if issubclass(kind, StrEnum):
        return _categories(values, [str(member.value) for member in kind])
    if name.endswith(_SECONDS):
        micros = pc.round(pc.multiply(values.cast(pa.float64()), 1e6))
        return micros.cast(pa.int64(), safe=False).cast(pa.duration("us"))
    return values


def _categories(values: pa.ChunkedArray, known: list[str]) -> pa.ChunkedArray:
    """Text as a dictionary of ``known``, which pandas takes for a categorical."""
    known_array = pa.array(known, pa.string())
    kind = pa.dictionary(pa.int32(), pa.string())
    chunks = [
        pa.DictionaryArray.from_arrays(
            pc.index_in(chunk.cast(pa.string()), value_set=known_array), known_array
        )
        for chunk in values.chunks or [pa.array([], pa.string())]  # a dictionary, also of nothing
    ]
    return pa.chunked_array(chunks, kind)


def _arrow_type(kind: type[Any]) -> pa.DataType | None:
    return next((arrow for known, arrow in _ARROW if issubclass(kind, known)), None)


def _plain(hint: Any) -> type[Any]:
    """The type of a field, without the None that it may be; object for what is not flat."""
    if isinstance(hint, types.UnionType):
        hint = next(part for part in hint.__args__ if part is not types.NoneType)
    return hint if isinstance(hint, type) else object
