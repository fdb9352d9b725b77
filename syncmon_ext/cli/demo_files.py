"""The files of a demo folder: ``syncmon.toml`` and a notebook."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from syncmon_ext.cli.flights import TABLES
from syncmon_ext.model.errors import InvalidRequest

TASK: Final = "nightly"
SOURCE: Final = "flights.db"
CONFIG: Final = "syncmon.toml"
NOTEBOOK: Final = "quickstart.ipynb"
MARK: Final = "# Made by `jupyter syncmon demo`, which makes it anew each time it runs."


def write_config(folder: Path, warehouse: str, rows_per_second: int | None) -> Path:
    """Write ``syncmon.toml`` with the task; one that a person wrote is left alone and refused."""
    path = folder / CONFIG
    if path.exists() and not path.read_text(encoding="utf-8").startswith(MARK):
        raise InvalidRequest(
            f"{path} was not made by the demo, and is left as it is",
            hint="name another folder: jupyter syncmon demo DIR",
        )
    tables = ", ".join(f'"{table.name}"' for table in TABLES)
    lines = [
        MARK,
        "",
        "[connections.flights]",
        f'url = "sqlite:///{SOURCE}"  # relative to this file',
        "",
        "[connections.warehouse]",
        f"url = {json.dumps(warehouse)}",
        "",
        f"[tasks.{TASK}]",
        'source = "flights"',
        'target = "warehouse"',
        'mode = "replace"',
        f"tables = [{tables}]",
        "workers = 2  # chunks in flight",
    ]
    if rows_per_second is not None:
        lines += [
            f"throttle = {{ rows = {rows_per_second} }}  # a second, so that one can watch",
            f"chunk_rows = {min(100_000, rows_per_second)}  # a commit about every second",
        ]
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path


def write_notebook(folder: Path) -> Path:
    """Write the notebook, unless there is one."""
    path = folder / NOTEBOOK
    if not path.exists():
        path.write_text(json.dumps(_notebook(), indent=1, ensure_ascii=False), encoding="utf-8")
    return path


def _notebook() -> dict[str, Any]:
    run = "!{sys.executable} -m syncmon_ext.cli"
    cells = [
        _markdown(
            "# syncmon in five minutes",
            "",
            "This folder holds the flights that left New York in 2013 (`flights.db`) and a task,",
            f"`{TASK}`, that copies them (`{CONFIG}`).",
        ),
        _code("import sys", "", f"{run} status {TASK}"),
        _markdown(
            "Start it again. The copy is done by a worker of its own: restart the kernel, close the",
            "notebook, and it goes on.",
        ),
        _code(f"{run} start {TASK}"),
        _code(f"{run} status {TASK}"),
        _markdown("The log, and the history of the copies as a DataFrame:"),
        _code(f"{run} logs {TASK} -n 20"),
        _code(
            "import pandas as pd",
            "",
            f"{run} export {TASK} --what history --format parquet -o history.parquet",
            'pd.read_parquet("history.parquet").tail()',
        ),
    ]
    return {
        "cells": [{**cell, "id": f"cell-{number}"} for number, cell in enumerate(cells)],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _markdown(*lines: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": "\n".join(lines)}


def _code(*lines: str) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {},
        "outputs": [],
        "source": "\n".join(lines),
    }
