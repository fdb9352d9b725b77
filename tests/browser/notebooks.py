"""Notebooks in a real JupyterLab or Notebook 7, driven in Chromium."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.kernel_venv import KERNEL_PYTHON
from tests.browser.site import Site
from tests.server import ROOT

App = Literal["lab", "notebook"]
ROWS = 60_000
SPEC = {
    "tables": ["small", "big"],
    "chunk_rows": 500,
    "throttle": {"rows": 1_000},  # per second: a copy that outlives any test
}
# The kernel's name: the environment's own, or another one that is to be tested.
KERNEL = "syncmon-tested" if KERNEL_PYTHON else "python3"
CONNECT = "from syncmon_widgets import Monitor, connect\nsm = connect()\n"


def make_source(path: Path) -> None:
    """A SQLite database with a small table and a big one."""
    source = sqlite3.connect(path)
    for table, rows in (("small", 300), ("big", ROWS)):
        source.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
        source.executemany(
            f"INSERT INTO {table} VALUES (?, ?)", ((n, f"row {n}") for n in range(rows))
        )
    source.commit()
    source.close()


def notebook_site(folder: Path, *tasks: str, **options: Any) -> Site:
    """A site with JupyterLab and Notebook, and throttled copies as ``tasks``."""
    folder.mkdir(parents=True, exist_ok=True)
    make_source(folder / "source.db")
    # What an installation has in share/jupyter: the tests need none.
    extensions = folder / "data" / "labextensions"
    extensions.mkdir(parents=True)
    (extensions / "syncmon").symlink_to(ROOT / "widgets" / "labextension")
    settings = folder / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
    env = {
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        # For kernels that work on the store itself.
        "SYNCMON_CONFIG": str(folder / "syncmon.toml"),
        **options.pop("env", {}),
    }
    if KERNEL_PYTHON:
        spec = folder / "data" / "kernels" / KERNEL
        spec.mkdir(parents=True)
        command = [KERNEL_PYTHON, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        (spec / "kernel.json").write_text(
            json.dumps({"argv": command, "display_name": KERNEL, "language": "python"})
        )
    connections = {"source": "sqlite:///source.db"}
    connections |= {name: f"sqlite:///{name}.db" for name in tasks}
    specs = {name: {"source": "source", "target": name, **SPEC} for name in tasks}
    site = Site(folder, connections, specs, push_interval=0.5, lab=True, env=env, **options)
    site.server.traits |= {
        "LabApp.expose_app_in_browser": True,
        "JupyterNotebookApp.expose_app_in_browser": True,
    }
    return site


class Notebook:
    """One notebook in one browser page."""

    def __init__(self, page: Page, site: Site, app: App = "lab") -> None:
        self.page = page
        self.site = site
        self.server = site.server
        self.app = app
        self.name = ""

    def open(
        self, name: str, *cells: str, token: str | None = None, beside: bool = False
    ) -> Notebook:
        """Write a notebook with ``cells``, open it and wait for its kernel.

        ``beside`` the notebooks that JupyterLab shows already, in a tab of its own.
        """
        self.name = name
        content = {
            "cells": [
                {
                    "cell_type": "code",
                    "execution_count": None,
                    "id": f"cell-{number}",
                    "metadata": {},
                    "outputs": [],
                    "source": source,
                }
                for number, source in enumerate(cells)
            ],
            "metadata": {
                "kernelspec": {"display_name": KERNEL, "language": "python", "name": KERNEL}
            },
            "nbformat": 4,
            "nbformat_minor": 5,
        }
        (self.server.root / name).write_text(json.dumps(content))
        if beside:
            self.page.evaluate(
                "path => window.jupyterapp.commands.execute('docmanager:open', { path })", name
            )
            self.page.wait_for_function(
                "path => window.jupyterapp.shell.currentWidget?.context?.path === path", arg=name
            )
            self.wait_for_kernel()
            return self
        place = f"lab/tree/{name}?reset&" if self.app == "lab" else f"notebooks/{name}?"
        token = self.server.token if token is None else token
        self.page.goto(f"{self.server.url}{place}{f'token={token}' if token else ''}")
        self.wait_for_kernel()
        return self

    def wait_for_kernel(self) -> None:
        """Until the notebook is drawn and its kernel is there."""
        self.page.wait_for_function(
            """() => {
                 const current = window.jupyterapp?.shell?.currentWidget;
                 const session = current?.sessionContext?.session?.kernel;
                 return current?.context?.isReady && current.content.widgets.length > 0
                   && current.sessionContext.isReady
                   && session?.connectionStatus === 'connected'
                   && !['unknown', 'starting'].includes(session.status);
               }""",
            timeout=60_000,
        )

    def command(self, name: str, wait: bool = True) -> None:
        """Execute one of the application's commands."""
        done = "" if wait else "; 0"
        self.page.evaluate(f"window.jupyterapp.commands.execute({json.dumps(name)}){done}")

    def run_all(self) -> None:
        """Run all cells; does not wait for them."""
        self.command("notebook:run-all-cells", wait=False)

    def run_cell(self, number: int) -> None:
        """Run one cell; does not wait for it."""
        self.page.evaluate(
            "number => { jupyterapp.shell.currentWidget.content.activeCellIndex = number; }", number
        )
        self.command("notebook:run-cell", wait=False)

    def is_busy(self) -> bool:
        """Whether a cell is being executed; a subshell's messages say "idle" meanwhile."""
        return self.page.locator(".jp-InputPrompt", has_text="[*]").count() > 0

    def status(self) -> str:
        """The kernel's, as the application knows it."""
        return str(
            self.page.evaluate(
                "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status"
            )
        )

    def widget(self, number: int = 0) -> Locator:
        """The widget that is drawn as number ``number``."""
        return self.page.get_by_test_id("widget").nth(number)

    def panel(self) -> Any:
        """The panel in its frame."""
        return self.page.frame_locator("iframe[data-syncmon]").first.get_by_test_id("panel")

    def close(self) -> None:
        """End the kernel, and leave."""
        if self.server.process is not None and not self.page.is_closed():
            self.page.evaluate("window.jupyterapp.serviceManager.sessions.shutdownAll()")
        self.page.close()


def shows(place: Any, state: str, seconds: float = 10.0) -> float:
    """Wait until panel or widget shows a state, such as "running|paused"; the seconds it took."""
    began = time.monotonic()
    mark = place.locator(".sm-panel-head .sm-state")
    expect(mark).to_have_attribute("data-state", re.compile(f"^({state})$"), timeout=seconds * 1000)
    return time.monotonic() - began


def press(place: Locator, command: str) -> None:
    """Click a command in panel or widget, and confirm it where it is asked."""
    place.get_by_test_id(f"command-{command}").click()
    if command == "stop":
        place.get_by_test_id("dialog-yes").click()


def rows(place: Locator) -> int:
    """The rows that are shown as committed."""
    found = re.search(r"([\d,]+)(?: of (?:about )?[\d,]+)? rows", place.inner_text())
    return int(found[1].replace(",", "")) if found else 0


@contextmanager
def open_page(browser: Browser, **options: Any) -> Iterator[Page]:
    """A page in a context of its own."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
    try:
        yield context.new_page()
    finally:
        context.close()
