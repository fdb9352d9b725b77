"""Notebooks that others are given: no token is in them, and they show a table where nobody trusts them."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import OpenNotebook
from tests.browser.notebooks import CONNECT, Notebook, open_page, shows
from tests.browser.site import Site, until

pytestmark = [
    pytest.mark.browser,
    pytest.mark.xdist_group("notebook-trust"),
    pytest.mark.timeout(180),
]


def test_no_token_is_in_the_notebook(notebook: OpenNotebook, site: Site, name: str) -> None:
    opened = notebook(f"{CONNECT}task = sm.task('{name}')\ntask", "task.monitor()")
    opened.run_all()
    shows(opened.widget(), "idle", 30)
    state = opened.page.evaluate(
        """async () => {
             const { commands, shell } = window.jupyterapp;
             await commands.execute('docmanager:save');
             return JSON.stringify(shell.currentWidget.content.model.toJSON());
           }"""
    )
    saved = (site.server.root / opened.name).read_text()
    assert site.server.token not in saved
    assert site.server.token not in state
    assert name in saved


def test_untrusted_notebooks_and_exports_show_a_table_and_no_frame(
    chromium: Browser, site: Site, name: str, tmp_path: Path
) -> None:
    site.call("POST", f"tasks/{name}/start", json={})
    until(lambda: site.progress(name)["rows_committed"] > 300, "rows")
    site.call("POST", f"tasks/{name}/pause")
    until(lambda: site.progress(name)["state"] == "paused", "paused")
    env = site.server.env | {"SYNCMON_URL": site.server.url, "SYNCMON_TOKEN": site.server.token}
    source = tmp_path / "export.ipynb"
    cell = nbformat.v4.new_code_cell(f"{CONNECT}sm.task('{name}')")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), source)
    convert = [sys.executable, "-m", "nbconvert", "--to"]
    # Executed elsewhere, so that no signature of this server's trusts it.
    for command in (
        [*convert, "notebook", "--execute", "--output=executed", source],
        [*convert, "html", tmp_path / "executed.ipynb"],
    ):
        subprocess.run(command, env=env, check=True, capture_output=True, timeout=90)
    with open_page(chromium) as page:
        page.goto((tmp_path / "executed.html").as_uri())
        shown = page.locator(".syncmon-task")
        expect(shown).to_contain_text("Paused")
        expect(shown.locator("table")).to_contain_text("big")
        expect(shown.get_by_role("link", name="open in syncmon")).to_be_visible()
        assert page.locator("iframe").count() == 0
        name_of_it = f"{uuid.uuid4().hex[:8]}.ipynb"
        (site.server.root / name_of_it).write_text((tmp_path / "executed.ipynb").read_text())
        opened = Notebook(page, site)
        page.goto(f"{site.server.url}lab/tree/{name_of_it}?reset&token={site.server.token}")
        opened.wait_for_kernel()
        output = page.locator(".jp-OutputArea-output")
        expect(output).to_contain_text("Paused")
        expect(output.locator("table")).to_contain_text("big")
        link = output.get_by_role("link", name="open in syncmon")
        expect(link).to_have_attribute("href", f"{site.server.url}syncmon/#task={name}")
        assert output.locator("iframe, script").count() == 0
        opened.close()


def test_the_token_is_in_no_message_to_the_browser(
    notebook: OpenNotebook, site: Site, name: str
) -> None:
    said: list[str] = []
    opened = notebook(f"{CONNECT}sm.task('{name}').monitor()")
    opened.page.on(
        "websocket", lambda socket: socket.on("framereceived", lambda data: said.append(str(data)))
    )
    opened.page.reload()
    opened.wait_for_kernel()
    opened.run_all()
    shows(opened.widget(), "idle", 30)
    assert any(json.dumps(name)[1:-1] in each for each in said)
    assert not any(site.server.token in each for each in said)
