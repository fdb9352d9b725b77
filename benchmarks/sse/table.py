"""The results of ``benchmarks.sse`` as a page: a table per part, the targets beside the figures."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import NamedTuple

HEAD = """# The server under load

`python -m benchmarks.sse` writes this page; each part can be run alone with `--only`. Clients run in
another process, over the loopback. Figures depend on the machine and on what else it does: the ratios
beside the peers, measured in the same run, are what counts.
"""
COLUMNS = "| what | measured | target | met |\n|---|---|---|---|\n"


class Row(NamedTuple):
    """One figure; without a target it is there to compare with."""

    what: str
    measured: str
    target: str = ""
    met: bool | None = None

    def line(self) -> str:
        """As a row of the table."""
        met = {None: "", True: "yes", False: "**no**"}[self.met]
        return f"| {self.what} | {self.measured} | {self.target} | {met} |"


def write_results(path: Path, part: str, rows: list[Row]) -> None:
    """Put the rows in place of what the page says of the part."""
    text = path.read_text() if path.exists() else HEAD
    load = os.getloadavg()[0]
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, load average {load:.1f}"
    table = COLUMNS + "".join(f"{row.line()}\n" for row in rows)
    section = f"\n## {part}\n\n{machine}\n\n{table}"
    pattern = re.compile(rf"\n## {part}\n.*?(?=\n## |\Z)", re.DOTALL)
    text = pattern.sub(lambda _: section, text) if pattern.search(text) else text + section
    path.write_text(text)
