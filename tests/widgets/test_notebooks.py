"""The notebooks run from top to bottom in a real kernel beside a real server."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from syncmon_ext.cli import demo_files, flights
from tests.server import ROOT, JupyterServer

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """A server with the demo's data and task."""
    folder = tmp_path_factory.mktemp("demo")
    flights.make(folder / demo_files.SOURCE)
    config = demo_files.write_config(folder, "sqlite:///warehouse.db", None)
    with JupyterServer(folder, traits={"SyncmonApp.config_file": config}) as server:
        yield server


def test_outputs_are_stripped() -> None:
    assert len(NOTEBOOKS) >= 4
    for path in NOTEBOOKS:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                assert (cell.outputs, cell.execution_count) == ([], None), path.name


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_names_only_files_that_are_there(path: Path) -> None:
    made = {demo_files.CONFIG, demo_files.NOTEBOOK, demo_files.SOURCE, "warehouse.db"}
    known = made | {other.name for other in NOTEBOOKS}
    texts = [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "markdown"]
    named = {
        name for text in texts for name in re.findall(r"[\w.-]+\.(?:py|toml|ipynb|db)\b", text)
    }
    assert named <= known


def test_quickstart_names_the_line_of_the_demo_that_opens_it() -> None:
    text = nbformat.read(ROOT / "notebooks" / "quickstart.ipynb", as_version=4).cells[0].source
    [label] = re.findall(r"behind `([^`]+)`", text)
    assert f'"{label} ' in (ROOT / "syncmon_ext" / "cli" / "demo.py").read_text().replace('f"', '"')


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, demo: JupyterServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "PYTHONPATH"):
        monkeypatch.setenv(name, demo.env[name])
    for name in [name for name in os.environ if name.startswith("SYNCMON")]:
        monkeypatch.delenv(name)
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=120,
        kernel_name="python3",
        resources={"metadata": {"path": str(demo.root)}},
    )
    client.execute()
    shown = [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type in ("display_data", "execute_result")
    ]
    assert any("text/html" in output.data for output in shown)
    texts = [output.data.get("text/plain", "") for output in shown]
    assert not [
        text for text in texts if text == "False" or text.startswith(("(False", "(True, F"))
    ]
    if path.stem in ("quickstart", "history_and_logs"):
        assert any("image/png" in output.data for output in shown)
