"""Panel and widget in JupyterLab and Notebook 7, while the kernel is busy and when things go away."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import OpenNotebook
from tests.browser.notebooks import (
    CONNECT,
    App,
    Notebook,
    notebook_site,
    open_page,
    press,
    rows,
    shows,
)
from tests.browser.site import Site, until

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("notebook"), pytest.mark.timeout(180)]

BUSY = "import time\nprint('busy')\ntime.sleep({seconds})"
ACKNOWLEDGED_SECONDS = 2.0

# When a page, or a frame of it, first showed what: seconds on the one clock of all frames.
NOTE_MOMENTS = """
const moments = window === top ? { page: performance.timeOrigin / 1000 } : {};
window.moments = moments;
const first = (name, selector) => {
  if (document.querySelector(selector)) {
    moments[name] ??= (performance.timeOrigin + performance.now()) / 1000;
  }
};
new MutationObserver(() => {
  first("cell", ".jp-Notebook .jp-Cell");
  first("output", ".syncmon-task");
  first("frame", "iframe[data-syncmon]");
  first("panel", "#syncmon .sm-panel-head [data-state=running]");
}).observe(document, { subtree: true, childList: true, attributes: true });
"""


@pytest.mark.parametrize("app", ["lab", "notebook"])
def test_panel_and_widget_live_and_steer_while_the_kernel_is_busy(
    notebook: OpenNotebook, name: str, app: App
) -> None:
    cells = (
        f"{CONNECT}task = sm.task('{name}').start()\ntask",
        "task.monitor()",
        BUSY.format(seconds=120),
    )
    opened = notebook(*cells, app=app)
    opened.run_all()
    widget, panel = opened.widget(), opened.panel()
    shows(widget, "running", 30)
    shows(panel, "running", 30)
    before = rows(widget)
    until(lambda: rows(widget) > before and rows(panel) > before, "rows in both")
    # Press in one of the two, and see it in both.
    for place, command, on_the_way, there in (
        (widget, "pause", "pausing", "paused"),
        (panel, "start", "running", "running"),
        (panel, "pause", "pausing", "paused"),
        (widget, "start", "running", "running"),
        (widget, "stop", "stopping", "stopped"),
    ):
        began = time.monotonic()
        press(place, command)
        shows(place, f"{on_the_way}|{there}", ACKNOWLEDGED_SECONDS)
        acknowledged = time.monotonic() - began
        shows(widget, there)
        shows(panel, there)
        print(f"{command}: shown after {acknowledged:.2f} s, {there} in both after "
              f"{time.monotonic() - began:.2f} s")  # fmt: skip
    assert opened.is_busy()
    expect(widget.get_by_test_id("fed-by")).to_have_attribute("data-by", "server")


@pytest.mark.parametrize("app", ["lab", "notebook"])
def test_panel_lives_again_after_a_reload_while_the_kernel_is_busy(
    notebook: OpenNotebook, site: Site, name: str, app: App
) -> None:
    opened = notebook(f"{CONNECT}sm.task('{name}').start()", BUSY.format(seconds=90), app=app)
    opened.run_all()
    shows(opened.panel(), "running", 30)
    opened.command("docmanager:save")
    page = opened.page
    page.add_init_script(NOTE_MOMENTS)
    page.reload(wait_until="commit")
    page.locator("iframe[data-syncmon]").wait_for(timeout=60_000)
    shows(opened.panel(), "running")
    moments = {key: at for frame in page.frames for key, at in frame.evaluate("moments").items()}
    seconds = moments["panel"] - moments["output"]
    print(f"{app}: the notebook's first cell {moments['cell'] - moments['page']:.2f} s after the "
          f"reload, the output {moments['output'] - moments['cell']:.2f} s after that; then "
          f"{moments['frame'] - moments['output']:.2f} s to the frame, {seconds:.2f} s to the "
          f"running panel")  # fmt: skip
    assert seconds < 5, "of a second on a machine that does nothing else"
    before = rows(opened.panel())
    until(lambda: rows(opened.panel()) > before, "more rows")
    with httpx.Client(headers={"Authorization": f"token {site.server.token}"}) as client:
        kernels = client.get(f"{site.server.url}api/kernels").json()
    assert "busy" in {kernel["execution_state"] for kernel in kernels}


def test_a_restarted_kernel_shows_the_same_state(notebook: OpenNotebook, name: str) -> None:
    opened = notebook(f"{CONNECT}task = sm.task('{name}')\ntask.monitor()")
    opened.run_all()
    shows(opened.widget(), "idle", 30)
    press(opened.widget(), "start")
    shows(opened.widget(), "running")
    press(opened.widget(), "pause")
    shows(opened.widget(), "paused")
    committed = rows(opened.widget())
    kernel = "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
    opened.page.evaluate(f"{kernel}.restart()")
    opened.command(
        "editmenu:clear-all" if opened.app == "lab" else "notebook:clear-all-cell-outputs"
    )
    expect(opened.page.get_by_test_id("widget")).to_have_count(0)
    opened.run_all()
    shows(opened.widget(), "paused", 30)
    until(lambda: rows(opened.widget()) == committed, "the same rows")


def test_a_restarted_kernel_leaves_the_widget_live(
    notebook: OpenNotebook, site: Site, name: str
) -> None:
    """The one that stands there: nobody runs its cell again."""
    opened = notebook(f"{CONNECT}task = sm.task('{name}').start()\ntask.monitor()")
    opened.run_all()
    widget = opened.widget()
    shows(widget, "running", 30)
    current = "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
    opened.page.evaluate(f"{current}.restart()")
    opened.wait_for_kernel()
    before = rows(widget)
    until(lambda: rows(widget) > before, "rows go on")
    expect(widget.get_by_test_id("fed-by")).to_contain_text("Live from the server")
    expect(widget.get_by_test_id("stale")).to_have_count(0)
    for command, state in (("pause", "paused"), ("start", "running"), ("stop", "stopped")):
        press(widget, command)
        shows(widget, state, 15)
        assert site.progress(name)["state"] == state


def test_the_frame_of_a_panel_is_as_high_as_what_it_shows(
    notebook: OpenNotebook, name: str
) -> None:
    opened = notebook(f"{CONNECT}sm.task('{name}')")
    page, panel = opened.page, opened.panel()
    page.set_viewport_size({"width": 1_100, "height": 900})  # a frame of about 650 px
    opened.run_all()
    shows(panel, "idle", 30)
    frame = page.locator("iframe[data-syncmon]")

    def fits() -> bool:
        box = frame.bounding_box()
        content = panel.evaluate(
            "it => [it.getBoundingClientRect().height, document.documentElement.scrollHeight]"
        )
        return box is not None and content == [box["height"], box["height"]]

    heights = []
    for fold in (None, "tables", "log", "tables", "log"):
        if fold:
            panel.get_by_test_id(f"fold-{fold}").click()
        until(fits, f"the frame's height after {fold}", seconds=10)
        box = frame.bounding_box()
        assert box is not None
        heights.append(box["height"])
    closed, tables, both, log, again = heights
    assert again == closed
    assert closed < tables < both
    assert closed < log < both


def test_traits_follow_when_the_kernel_is_free(notebook: OpenNotebook, name: str) -> None:
    """Observed, and beside another widget."""
    opened = notebook(
        f"{CONNECT}import ipywidgets as w\n"
        f"m = sm.task('{name}').monitor()\nlabel, seen = w.Label(), []\n"
        "def show(change):\n"
        "    seen.append(change['new'])\n"
        "    label.value = f\"{m.progress['rows_committed']} rows, \" + ' '.join(seen)\n"
        "m.observe(show, 'state')\nw.VBox([label, m])"
    )
    opened.run_all()
    widget = opened.widget()
    shows(widget, "idle", 30)
    press(widget, "start")
    label = opened.page.locator(".widget-label, .jupyter-widgets.widget-label").first
    expect(label).to_contain_text("running", timeout=15_000)
    press(widget, "pause")
    expect(label).to_contain_text(re.compile("running.*paus"), timeout=15_000)


def test_several_tasks_in_one_widget(notebook: OpenNotebook, names: Iterator[str]) -> None:
    one, other = next(names), next(names)
    opened = notebook(f"{CONNECT}m = Monitor(tasks=['{one}', '{other}'])\nm", "m.selected")
    opened.run_all()
    widget = opened.widget()
    expect(widget.get_by_test_id(f"task-{one}")).to_have_attribute("aria-pressed", "true")
    expect(widget.locator(".sm-widget-task")).to_have_count(2)
    widget.get_by_test_id(f"task-{other}").click()
    expect(widget.locator("h1")).to_have_text(other)
    opened.run_all()
    expect(opened.page.locator(".jp-OutputArea-output").last).to_contain_text(one, timeout=15_000)


def test_panel_and_widget_of_a_task_that_was_removed_say_so(
    notebook: OpenNotebook, site: Site
) -> None:
    spec = {"source": "source", "target": "task0", "tables": ["small"]}
    site.call("POST", "tasks", json={"task_id": "going", **spec})
    opened = notebook(f"{CONNECT}task = sm.task('going')\ntask", "task.monitor()", "task.delete()")
    for number in range(2):
        opened.run_cell(number)
    for place in (opened.panel(), opened.widget()):
        shows(place, "idle", 30)
        expect(place.get_by_test_id("command-start")).to_be_visible()
    opened.run_cell(2)
    for place in (opened.panel(), opened.widget()):
        expect(place.get_by_test_id("select-error")).to_contain_text("Task going was removed.")
        expect(place.locator(".sm-commands")).to_have_count(0)
        expect(place.locator("[data-testid=stream-error], [data-testid=stale]")).to_have_count(0)


def test_keys_in_a_field_are_text_and_no_commands(notebook: OpenNotebook, name: str) -> None:
    """In command mode "d d" deletes a cell, and "x" cuts one."""
    opened = notebook(f"{CONNECT}sm.task('{name}').monitor()", "1")
    opened.run_all()
    widget = opened.widget()
    shows(widget, "idle", 30)
    widget.get_by_test_id("fold-log").click()
    field = widget.get_by_test_id("log-search")
    field.click()
    field.press_sequentially("ddxxb")
    expect(field).to_have_value("ddxxb")
    count = "window.jupyterapp.shell.currentWidget.content.widgets.length"
    assert opened.page.evaluate(count) == 2


def test_a_base_url_with_odd_characters(chromium: Browser, tmp_path: Path) -> None:
    with (
        notebook_site(tmp_path, "one", base_url="/u/d@ta~x,y/") as site,
        open_page(chromium) as page,
    ):
        opened = Notebook(page, site).open("odd.ipynb", f"{CONNECT}sm.task('one')", "sm.monitor()")
        opened.run_all()
        shows(opened.widget(), "idle", 30)
        shows(opened.panel(), "idle", 30)
        expect(opened.widget().get_by_test_id("fed-by")).to_have_attribute("data-by", "server")
        press(opened.widget(), "start")
        shows(opened.panel(), "running")


@pytest.mark.parametrize("app", ["lab", "notebook"])
def test_the_page_opens_from_the_application(notebook: OpenNotebook, app: App) -> None:
    opened = notebook("1", app=app)
    page = opened.page
    assert page.evaluate("window.jupyterapp.commands.hasCommand('syncmon:open')")
    if app == "notebook":
        with page.expect_popup() as popup:
            opened.command("syncmon:open")
        popup.value.get_by_test_id("task-list").wait_for()
        return
    opened.command("launcher:create")
    page.locator(".jp-LauncherCard", has_text="syncmon").click()
    page.frame_locator("iframe[title=syncmon]").get_by_test_id("task-list").wait_for()
    # Once more is the same tab.
    opened.command("syncmon:open")
    expect(page.locator("iframe[title=syncmon]")).to_have_count(1)
