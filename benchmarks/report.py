"""RESULTS.md and its plot, from the measured rows."""

from __future__ import annotations

import os
import platform
import sqlite3
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from benchmarks.suite import US, Row

WIDTH, BAR, GAP, LABEL = 760, 18, 8, 250


def write(folder: Path, rows: list[Row], *, rounds: int, pairs: int, load: str) -> None:
    """Write the table and the plot."""
    (folder / "results.svg").write_text(_plot(rows))
    lines = [
        "# Speed beside its peers",
        "",
        f"`make bench`, {datetime.now(UTC):%Y-%m-%d}: TPC-H lineitem, {rounds} interleaved rounds "
        f"({pairs} of the cost of monitoring), medians. {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, SQLite {sqlite3.sqlite_version}, fsync on, both servers and all "
        f"files on one disk; load average at the start, middle and end: {load}.",
        "",
        "syncmon's figures are those of a task that a worker runs, from Start until the store says that "
        "it is completed: with checkpoints, monitor and swap. The worker is one that stands by, as a server "
        "has it while somebody watches; its CPU seconds are counted from its beginning. Without it the "
        "start takes longer by what importing takes. A ratio is the peer's time : syncmon's, the median over "
        "the rounds; above 1 syncmon is faster. In brackets: where 95 of 100 such medians lie (bootstrap). "
        "The ratio of CPU seconds (programs and servers together) is the steadier one where others use the "
        "machine. The memory is that of a run of its own, which is not timed.",
        "",
        "![Thousand rows a second](results.svg)",
        "",
        "| route | rows | program | seconds | thousand rows/s | CPU s | servers' CPU s | peak MiB | ratio "
        "| of CPU | at least | |",
        "|---|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    unmeasured = {row.route for row in rows if not row.rows}
    lines += [_line(row, others=row.route in unmeasured) for row in rows]
    lines += [
        "",
        "## Where the time goes",
        "",
        "Of the chunks: waiting for the source, turning values into the target's form, waiting for the "
        "target; which of them limits the copy is what the page and `status` show while it runs. Between "
        "two SQLite files reading and writing is one statement, which counts as the target's.",
        "",
        "| route | |",
        "|---|---|",
    ]
    lines += [f"| {row.route} | {row.note} |" for row in rows if row.program == US and row.note]
    (folder / "RESULTS.md").write_text("\n".join(lines) + "\n")


def _line(row: Row, *, others: bool) -> str:
    if not row.rows:
        return f"| {row.route} | | {row.program} |{' – |' * 8} {row.note} |"
    verdict = ""
    if row.target is not None and row.ratio is not None:
        verdict = "met" if row.ratio >= row.target else "not met"
        if row.likely and row.likely[0] < row.target <= row.likely[1]:
            verdict += ", within the noise"
        if row.ratio >= row.target and others:
            verdict += "; against this one: the other was not measured"
    cells = [
        row.route,
        f"{row.rows:,}",
        f"**{US}**" if row.program == US else row.program,
        f"{row.wall:.2f}",
        f"{row.rows / row.wall / 1000:,.0f}",
        f"{row.cpu:.2f}",
        f"{row.server_cpu:.2f}",
        f"{row.peak_mib:.0f}",
        _ratio(row.ratio, row.likely),
        _ratio(row.cpu_ratio, row.cpu_likely),
        "" if row.target is None else f"{row.target:.2f}",
        verdict,
    ]
    return f"| {' | '.join(cells)} |"


def _ratio(median: float | None, likely: tuple[float, float] | None) -> str:
    if median is None or likely is None:
        return ""
    return f"{median:.3f} ({likely[0]:.3f}–{likely[1]:.3f})"


def _plot(rows: list[Row]) -> str:
    """Bars of rows per second, each route on its own scale."""
    parts: list[str] = []
    top = 10
    for route in dict.fromkeys(row.route for row in rows):
        shown = [row for row in rows if row.route == route and row.rows]
        fastest = max(row.rows / row.wall for row in shown)
        top += 18
        parts.append(f'<text x="8" y="{top}" font-weight="bold">{escape(route)}</text>')
        top += 8
        for row in shown:
            rate = row.rows / row.wall
            length = (WIDTH - LABEL - 90) * rate / fastest
            color = "#1f77b4" if row.program.startswith(US) else "#b0b7be"
            parts += [
                f'<text x="{LABEL - 8}" y="{top + 13}" text-anchor="end">{escape(row.program)}</text>',
                f'<rect x="{LABEL}" y="{top}" width="{length:.0f}" height="{BAR}" fill="{color}"/>',
                f'<text x="{LABEL + length + 6:.0f}" y="{top + 13}">{rate / 1000:,.0f} k/s</text>',
            ]
            top += BAR + GAP
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top + 10}" '
        'font-family="sans-serif" font-size="12" fill="#24292f">'
        '<rect width="100%" height="100%" fill="#ffffff"/>'
    )
    return head + "".join(parts) + "</svg>\n"
