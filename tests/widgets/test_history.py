from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from syncmon_ext.model.errors import InvalidRequest, RunNotFound
from syncmon_widgets import track
from syncmon_widgets.handle import Task
from syncmon_widgets.session import Session

Settle = Callable[[], None]


@pytest.fixture
def task(
    session: Session, settled: Settle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Task]:
    """A task with two runs, of 30 and of 60 rows."""
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path))
    for count in (30, 60):
        for _ in track(range(count), "cleaning"):
            time.sleep(0.02)
        settled()
    yield session.task("cleaning")


def test_plot_draws_each_run(task: Task, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    drawn = task.history().plot()
    rows, speed = drawn.axes
    assert rows.get_title(loc="left") == "cleaning"
    ends = [(line.get_xdata()[0], line.get_ydata()[0], line.get_ydata()[-1]) for line in rows.lines]
    assert ends == [(0.0, 0.0, 30.0), (0.0, 0.0, 60.0)]
    assert len(speed.lines) == 2
    assert (rows.get_ylabel(), speed.get_ylabel()) == ("iterations", "iterations/s")
    assert drawn._repr_png_().startswith(b"\x89PNG")
    drawn.savefig(tmp_path / "history.png")
    assert (tmp_path / "history.png").stat().st_size > 10_000


def test_no_run_has_the_colour_of_the_newest(session: Session, settled: Settle) -> None:
    pytest.importorskip("matplotlib")
    for _ in range(10):
        list(track(range(3), "often"))
    settled()
    rows, speed = session.task("often").history().plot().axes
    for axis in (rows, speed):
        colours = [line.get_color() for line in axis.lines]
        assert len(colours) == 10
        assert colours[-1] not in colours[:-1]
        assert len(set(colours[-8:])) == 8


def test_plot_of_nothing_and_of_pandas(task: Task, session: Session) -> None:
    pytest.importorskip("matplotlib")
    history = task.history()
    assert history.iloc[:0].empty
    empty = type(history)(history.iloc[:0])
    assert empty.plot().axes[0].get_title(loc="left") == "no samples yet"
    assert history.plot(x="rows_committed", y="overall_progress").get_xlabel() == "rows_committed"
    assert history.plot.line(x="rows_committed", y="overall_progress") is not None


def test_slices_are_ordinary_frames(task: Task) -> None:
    history = task.history()
    assert type(history.iloc[:1]) is pd.DataFrame
    assert type(history[["speed"]]) is pd.DataFrame


def test_runs_are_compared(task: Task, session: Session) -> None:
    newer, older = task.runs()["run_id"]
    found = session.compare(older, newer)
    assert list(found.columns) == [older, newer, "difference", "ratio"]
    assert found.loc["rows_committed"].tolist() == [30, 60, 30, 2.0]
    assert found.loc["state", older] == "completed"
    assert session.compare(("cleaning", newer), newer).loc["rows_committed", "ratio"] == 1.0
    assert list(session.compare(older[:8], newer[:8]).columns[:2]) == [older, newer]
    with pytest.raises(RunNotFound):
        session.compare(older, "nothing")


def test_beginning_of_several_runs_is_refused(task: Task, session: Session) -> None:
    for run in range(17):  # of which two begin with the same of sixteen digits
        with track("many", total=run):
            pass
    ids = [str(run) for run in session.task("many").runs()["run_id"]]
    [digit, *_] = [one[0] for one in ids if sum(other[0] == one[0] for other in ids) > 1]
    with pytest.raises(InvalidRequest, match=f"runs begin with '{digit}'") as found:
        session.compare(("many", digit), ids[0])
    assert next(one for one in ids if one[0] == digit) in found.value.hint
    with pytest.raises(InvalidRequest, match="empty"):
        session.compare(ids[0], "")


def test_wait_times_out(session: Session) -> None:
    steps = iter(track(range(3), "waiting"))
    next(steps)
    deadline = time.monotonic() + 20
    while not session.tasks() and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(TimeoutError, match="waiting is running"):
        session.task("waiting").wait(timeout=0.3)
    assert list(steps) == [1, 2]


def test_drawing_needs_no_display() -> None:
    """Importing the frames draws in no window and imports no matplotlib."""
    program = "import sys, syncmon_widgets.frames; print('matplotlib' in sys.modules)"
    env = {k: v for k, v in os.environ.items() if k != "DISPLAY"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
