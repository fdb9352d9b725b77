"""Each table of a task, empty and full, is the same in pandas, in Arrow and in polars."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any, Final

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from msgspec.structs import replace

from syncmon_widgets.direct import Direct
from syncmon_widgets.frames import TaskFrame, plan_frame, units_frame
from syncmon_widgets.handle import Task
from syncmon_widgets.session import Session
from tests.databases import sqlite_url

CONFIG: Final = """
[connections.source]
url = "sqlite:///source.db"
[connections.target]
url = "sqlite:///target.db"
[tasks.some]
source = "source"
target = "target"
tables = ["filled", "hollow", "absent"]
"""
POLARS: Final = {
    "string": pl.String(),
    "category": pl.Categorical(),
    "Int64": pl.Int64(),
    "boolean": pl.Boolean(),
    "float64": pl.Float64(),
    "timedelta64[us]": pl.Duration("us"),
    "datetime64[us, UTC]": pl.Datetime("us", "UTC"),
}
FRAMES: Final[dict[str, Callable[[Task], TaskFrame]]] = {
    "progress": Task.progress,
    "units": Task.units,
    "plan": Task.plan,
    "runs": Task.runs,
    "logs": Task.logs,
    "history": Task.history,
}
ALWAYS_FILLED: Final = {"progress", "units", "plan"}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """A session on a store of its own, with a task that copies two tables and lacks the third."""
    folder = tmp_path_factory.mktemp("frames")
    source = sqlite3.connect(folder / "source.db")
    source.execute("CREATE TABLE filled (id INTEGER PRIMARY KEY, text TEXT)")
    source.execute("CREATE TABLE hollow (id INTEGER PRIMARY KEY, price NUMERIC)")
    source.executemany("INSERT INTO filled VALUES (?, ?)", [(n, "é🙂" * n) for n in range(50)])
    source.commit()
    source.close()
    (folder / "syncmon.toml").write_text(CONFIG)
    store = Direct(sqlite_url(folder / "store.db"), str(folder / "syncmon.toml"))
    with Session(store) as opened:
        yield opened


@pytest.fixture(scope="module")
def before(session: Session) -> dict[str, TaskFrame]:
    """The tables of the task before its first run."""
    task = session.task("some")
    return {name: frame(task) for name, frame in FRAMES.items()}


@pytest.fixture(scope="module")
def after(before: dict[str, TaskFrame], session: Session) -> dict[str, TaskFrame]:
    """The tables of the task after a run that could not copy all."""
    task = session.task("some")
    assert task.start().wait(60) == "failed"
    return {name: frame(task) for name, frame in FRAMES.items()}


def values(column: pd.Series[Any]) -> list[Any]:
    """The values of a column, with None for what is missing."""
    return [None if pd.isna(value) else value for value in column]


def same_everywhere(frame: TaskFrame) -> pl.DataFrame:
    """Compare a table with its forms in Arrow and in polars, which is given."""
    arrow, polars = frame.to_arrow(), pl.DataFrame(frame)
    assert pa.table(frame).equals(arrow)  # through __arrow_c_stream__
    assert polars.schema == {name: POLARS[str(dtype)] for name, dtype in frame.dtypes.items()}
    assert polars.equals(pl.DataFrame(arrow), null_equal=True)
    assert polars.equals(pl.Series(pa.table(frame)).struct.unnest(), null_equal=True)
    for name in frame.columns:
        assert polars[name].to_list() == arrow[name].to_pylist() == values(frame[name]), name
    return polars


@pytest.mark.parametrize("name", FRAMES)
def test_table_of_a_new_task(before: dict[str, TaskFrame], name: str) -> None:
    assert (same_everywhere(before[name]).height > 0) == (name in ALWAYS_FILLED)


@pytest.mark.parametrize("name", FRAMES)
def test_table_after_a_run(
    before: dict[str, TaskFrame], after: dict[str, TaskFrame], name: str
) -> None:
    full = same_everywhere(after[name])
    assert full.height > 0
    assert full.schema == pl.DataFrame(before[name]).schema


def test_plan_and_units_of_no_tables(before: dict[str, TaskFrame], session: Session) -> None:
    plan, progress = session.backend.plan("some"), session.backend.progress("some")
    for name, empty in (
        ("plan", plan_frame(replace(plan, units=[]))),
        ("units", units_frame(replace(progress, units=[]))),
    ):
        assert same_everywhere(empty).height == 0
        assert list(empty.dtypes) == list(before[name].dtypes)


def test_polars_computes_with_the_tables(after: dict[str, TaskFrame]) -> None:
    units = pl.DataFrame(after["units"])
    assert units.select("table", "state", "rows_committed").rows() == [
        ("filled", "completed", 50),
        ("hollow", "completed", 0),
        ("absent", "failed", 0),
    ]
    errors = pl.DataFrame(after["logs"]).filter(pl.col("level") == "error")
    assert errors["unit"].drop_nulls().unique().to_list() == ["absent"]
    run = pl.DataFrame(after["runs"]).row(0, named=True)
    assert (run["state"], run["finished_at"] > run["started_at"]) == ("failed", True)
    assert pl.DataFrame(after["history"])["rows_committed"].max() == 50


def test_plan_tells_of_a_table_that_is_missing(session: Session) -> None:
    plan = session.task("some").plan()
    [absent] = plan[plan["target_table"] == "absent"].to_dict("records")
    assert "absent" in absent["errors"]
    assert pd.isna(absent["column"])
    assert pd.isna(absent["lossy"])
    assert plan[plan["column"].notna()]["errors"].eq("").all()
    alone = session.create_task("alone", source="source", target="target", tables=["absent"])
    found = alone.plan()
    assert list(found["errors"]) == [absent["errors"]]
    assert list(found.dtypes) == list(plan.dtypes)
    alone.delete()
