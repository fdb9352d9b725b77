"""The picture of a history: rows over time, and how fast they came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from syncmon_ext.model.words import short

if TYPE_CHECKING:
    import pandas as pd

# From the newest run on; each that the legend names has its own.
COLOURS: Final = (
    *("#1976d2", "#ef6c00", "#2e7d32", "#8e24aa"),
    *("#c62828", "#00838f", "#6d4c41", "#c2185b"),
)
OLD: Final = "#9e9e9e"  # of all that are older than these
NAMED_RUNS: Final = len(COLOURS)  # in the legend
WIDTH, HEIGHT = 9.0, 4.2  # inches
UNITS: Final = (
    (120.0, 1.0, "seconds"),
    (7_200.0, 60.0, "minutes"),
    (float("inf"), 3_600.0, "hours"),
)


class HistoryPlot:
    """``history().plot``: called without arguments it draws the runs; else it is pandas' own."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain().plot, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Draw rows committed and speed over the running time; the two axes of matplotlib."""
        if args or kwargs:
            return self._plain().plot(*args, **kwargs)
        return draw(self._frame)

    def _plain(self) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame(self._frame)


def draw(frame: pd.DataFrame) -> Any:
    """Each run of ``frame`` as a line of rows and a line of speed, over its own running time."""
    try:
        import matplotlib.pyplot as plt
        from matplotlib.ticker import FuncFormatter
    except ImportError as error:
        raise ImportError(
            "history().plot() draws with matplotlib: pip install matplotlib"
        ) from error
    figure, axes = plt.subplots(
        2, 1, sharex=True, figsize=(WIDTH, HEIGHT), layout="constrained", height_ratios=(3, 2)
    )
    rows_axis, speed_axis = axes
    longest = frame["elapsed_seconds"].dt.total_seconds().max() if len(frame) else 0.0
    _, seconds, unit = next(u for u in UNITS if longest <= u[0])
    runs = list(frame.groupby("run_id", sort=False, observed=True))
    for number, (run_id, samples) in enumerate(runs):
        age = len(runs) - 1 - number
        newest = age == 0
        colour = COLOURS[age] if age < len(COLOURS) else OLD
        x = samples["elapsed_seconds"].dt.total_seconds() / seconds
        rows = samples["rows_committed"].astype("float64")
        label = f"{samples['time'].iloc[0]:%d %b %H:%M} · {str(run_id)[:8]}"
        style: dict[str, Any] = {
            "color": colour, "linewidth": 1.8 if newest else 1.0, "alpha": 1.0 if newest else 0.55,
        }  # fmt: skip
        from_start = ([0.0, *x], [0.0, *rows])  # a run begins with nothing, before its first sample
        rows_axis.plot(*from_start, label=label, **style)
        speed_axis.plot(x, samples["speed"], **style)
        if newest:
            rows_axis.fill_between(*from_start, color=colour, alpha=0.08, linewidth=0)
            speed_axis.fill_between(x, samples["speed"], color=colour, alpha=0.12, linewidth=0)
    task = frame["task_id"].iloc[0] if len(frame) else "no samples yet"
    rows_axis.set_title(task, loc="left", fontsize=11, fontweight="bold")
    counts = frame.attrs.get("counts", "rows")
    rows_axis.set_ylabel("rows committed" if counts == "rows" else counts)
    speed_axis.set_ylabel(f"{counts}/s")
    speed_axis.set_xlabel(f"running time, {unit}")
    for axis in axes:
        axis.set_ylim(bottom=0)
        axis.set_xlim(left=0)
        axis.yaxis.set_major_formatter(
            FuncFormatter(lambda value, _: short(value).replace(".0 ", " "))
        )
        axis.grid(visible=True, axis="y", linewidth=0.5, alpha=0.35)
        axis.spines[["top", "right"]].set_visible(False)
    if 1 < len(runs) <= NAMED_RUNS:
        rows_axis.legend(frameon=False, fontsize=8, loc="lower right")
    plt.close(figure)  # it is shown once, as the cell's result
    return _Drawing(figure, axes)


class _Drawing:
    """The figure, which shows itself in a cell; ``axes`` and ``figure`` are matplotlib's."""

    def __init__(self, figure: Any, axes: Any) -> None:
        self.figure = figure
        self.axes = axes

    def __repr__(self) -> str:
        return "<the rows and the speed of a history>"

    def _repr_png_(self) -> bytes:
        import io

        data = io.BytesIO()
        self.figure.savefig(data, format="png", dpi=110)
        return data.getvalue()

    def savefig(self, *args: Any, **kwargs: Any) -> None:
        """Save the picture, as matplotlib's figure does."""
        self.figure.savefig(*args, **kwargs)
