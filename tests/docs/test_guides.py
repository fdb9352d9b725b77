"""What the guides and the README say holds: files parse, commands and calls exist, Python runs."""

from __future__ import annotations

import json
import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import click
import msgspec
import pytest

from syncmon_ext.api.routes import ROUTES, pattern
from syncmon_ext.app import SyncmonApp
from syncmon_ext.cli.program import program
from syncmon_ext.model.config import parse_config
from syncmon_ext.model.task import TableSpec, TaskSpec
from tests.server import ROOT, JupyterServer

GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
CONNECTIONS = """
[connections.flights]
url = "sqlite:///flights.db"
[connections.warehouse]
url = "sqlite:///warehouse.db"
[tasks.nightly]
source = "flights"
target = "warehouse"
tables = ["weather"]
"""

_FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_INDENTED = re.compile(r"^    (.+)$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)#:]+)\)")
_CALL = re.compile(r"`(GET|POST|PUT|PATCH|DELETE) ([^`]+)`")


def blocks(path: Path, language: str) -> list[str]:
    return [found[2] for found in _FENCED.finditer(path.read_text()) if found[1] == language]


def commands(path: Path, program_name: str) -> list[list[str]]:
    """The lines of a guide that call a program, as a shell splits them."""
    lines = (found[1] for found in _INDENTED.finditer(path.read_text()))
    words = (shlex.split(line, comments=True) for line in lines if program_name in line)
    found = (
        [word for word in line if not re.fullmatch(r"[A-Z_]+=.*", word)] for line in words if line
    )
    return [line for line in found if line and " ".join(line).startswith(program_name)]


def fields(kind: type[msgspec.Struct]) -> set[str]:
    return {field.name for field in msgspec.structs.fields(kind)}


def first_cells(text: str, heading: str) -> set[str]:
    """The names in the first column of the table that begins with ``heading``."""
    table = text[text.index(heading) :].split("\n\n", 1)[0]
    rows = table.splitlines()[2:]
    return {name for row in rows for name in re.findall(r"`([\w.]+)`", row.split("|")[1])}


def test_there_are_guides() -> None:
    assert len(GUIDES) >= 6


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for link in _LINK.findall(path.read_text()):
        assert (path.parent / link).exists(), link


@pytest.mark.parametrize(
    ("path", "text"),
    [(path, text) for path in TEXTS for text in blocks(path, "toml")],
    ids=lambda value: value.name if isinstance(value, Path) else "",
)
def test_configuration_is_valid(path: Path, text: str) -> None:
    parse_config(text, folder="/tmp", origin=path.name)


def test_every_setting_is_told() -> None:
    text = (ROOT / "docs/guides/configuration.md").read_text()
    assert first_cells(text, "| a task has") == fields(TaskSpec)
    assert first_cells(text, "| a table has") == fields(TableSpec)
    told = first_cells((ROOT / "docs/guides/server.md").read_text(), "| trait")
    own = SyncmonApp.class_own_traits(config=True)
    assert told == {f"SyncmonApp.{name}" for name in own}


def test_defaults_of_traits_are_true() -> None:
    text = (ROOT / "docs/guides/server.md").read_text()
    own = SyncmonApp.class_own_traits(config=True)
    told = re.findall(r"`SyncmonApp\.(\w+)` \| `([^`]+)`", text)
    assert len(told) >= 6
    for name, value in told:
        if not value.startswith("$"):
            assert str(own[name].default()) == value, name


def test_every_call_is_told() -> None:
    text = (ROOT / "docs/guides/rest.md").read_text()
    told = {(method.lower(), path) for method, path in _CALL.findall(text)}
    there = {(method, route.path) for route in ROUTES for method in route.operations}
    assert told == there


@pytest.mark.parametrize("path", [*GUIDES, ROOT / "README.md"], ids=lambda path: path.stem)
def test_commands_exist(path: Path) -> None:
    with click.Context(program) as above:
        for _, _, *words in commands(path, "jupyter syncmon"):
            if not words or words[0].startswith("-"):
                continue
            command = program.get_command(above, words[0])
            assert command is not None, words
            command.make_context(words[0], list(words[1:]), parent=above)


@pytest.mark.parametrize("path", [*GUIDES, ROOT / "README.md"], ids=lambda path: path.stem)
def test_calls_of_curl_exist(path: Path) -> None:
    for words in commands(path, "curl"):
        method = words[words.index("-X") + 1].lower() if "-X" in words else "get"
        address = urlsplit(next(word for word in words if "/api/v1/" in word))
        call = address.path.partition("/api/v1/")[2]
        route = next(r for r in ROUTES if re.fullmatch(pattern(r.path), call))
        operation = route.operations[method]
        known = {p.name for p in operation.parameters if p.where == "query"}
        assert {name for name, _ in parse_qsl(address.query)} <= known
        if "-d" in words:
            assert "Content-Type: application/json" in words  # curl calls it a form
            assert operation.request is not None
            msgspec.json.decode(words[words.index("-d") + 1], type=operation.request, strict=True)


def test_json_is_valid() -> None:
    for text in (text for path in GUIDES for text in blocks(path, "json")):
        json.loads(text)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[JupyterServer]:
    """A server whose task copies a small table."""
    with closing(sqlite3.connect(tmp_path / "flights.db")) as source:
        source.execute("CREATE TABLE weather (id INTEGER PRIMARY KEY, wind REAL)")
        source.executemany(
            "INSERT INTO weather VALUES (?, ?)", [(n, n / 7) for n in range(1, 20_001)]
        )
        source.commit()
    config = tmp_path / "syncmon.toml"
    config.write_text(CONNECTIONS)
    with JupyterServer(tmp_path, traits={"SyncmonApp.config_file": config}) as running:
        yield running


def test_python_of_the_notebooks_guide_runs(server: JupyterServer) -> None:
    script = "\n".join(blocks(ROOT / "docs/guides/notebooks.md", "python"))
    checks = (
        "assert task.state == copy.state == 'completed'\n"
        "assert copy.units()['rows_committed'].tolist() == [20_000]\n"
        "assert table.num_rows\n"
        "sm.task('training').wait(timeout=30, check=True)\n"
        "assert 'done' in sm.task('training').logs()['message'].tolist()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script + checks],
        env={
            **server.env,
            "MPLBACKEND": "Agg",
            "SYNCMON_URL": server.url,
            "SYNCMON_TOKEN": server.token,
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
