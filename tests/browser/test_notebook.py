"""Panel and widget in JupyterLab and Notebook 7, while the kernel is busy and when things go away."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import nbformat
import pytest
from playwright.sync_api import Browser, Locator, expect

from syncmon_widgets.direct import Direct
from tests.browser.notebooks import CONNECT, App, Notebook, notebook_site, open_page, shows
from tests.browser.site import Site, until

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("notebook"), pytest.mark.timeout(180)]

TASKS = tuple(f"task{number}" for number in range(16))
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

OpenNotebook = Callable[..., Notebook]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with notebook_site(tmp_path_factory.mktemp("notebook"), *TASKS) as running:
        yield running


@pytest.fixture(scope="module")
def names() -> Iterator[str]:
    return iter(TASKS)


@pytest.fixture
def name(names: Iterator[str]) -> str:
    """A task that no other test uses."""
    return next(names)


@pytest.fixture
def notebook(chromium: Browser, site: Site) -> Iterator[OpenNotebook]:
    """Opens a notebook with cells in an application."""
    with open_page(chromium) as page:
        opened: list[Notebook] = []

        def make(*cells: str, app: App = "lab") -> Notebook:
            made = Notebook(page, site, app).open(f"{uuid.uuid4().hex[:8]}.ipynb", *cells)
            opened.append(made)
            return made

        yield make
        for one in opened:
            one.close()


def press(place: Locator, command: str) -> None:
    place.get_by_test_id(f"command-{command}").click()
    if command == "stop":
        place.get_by_test_id("dialog-yes").click()


def rows(place: Locator) -> int:
    """The rows that are shown as committed."""
    found = re.search(r"([\d,]+)(?: of (?:about )?[\d,]+)? rows", place.inner_text())
    return int(found[1].replace(",", "")) if found else 0


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


def test_ten_monitors_share_one_stream_and_cleared_cells_leave_none(
    notebook: OpenNotebook, site: Site, name: str
) -> None:
    site.call("POST", f"tasks/{name}/start", json={})
    cells = [f"{CONNECT}task = sm.task('{name}')", *["task.monitor()"] * 10, "1 + 1"]
    opened = notebook(*cells)
    for _ in range(2):
        opened.run_all()
        until(lambda: len(site.open_streams()) == 1, "one stream")
        # Notebooks draw what is in sight: bring every cell there once.
        for number in range(10):
            opened.widget(number).scroll_into_view_if_needed(timeout=30_000)
            shows(opened.widget(number), "running", 30)
        until(lambda: len(site.open_streams()) == 1, "one stream")
        seconds = opened.page.evaluate(
            """async () => {
                 const began = performance.now();
                 for (let n = 0; n < 10; n += 1) {
                   await (await fetch('/api/contents?x=' + n)).json();
                 }
                 return (performance.now() - began) / 1000;
               }"""
        )
        assert seconds < 5, "ten requests of Jupyter's own beside the stream"
        opened.command("notebook:clear-all-cell-outputs")
        expect(opened.page.get_by_test_id("widget")).to_have_count(0)
        until(lambda: not site.open_streams(), "no stream")


def test_ten_monitors_in_seven_notebooks_share_one_stream(
    chromium: Browser, tmp_path: Path
) -> None:
    """More than the six connections that a browser opens to an origin: Jupyter must get some."""
    tasks = [f"task{number}" for number in range(7)]
    with notebook_site(tmp_path, *tasks) as site, open_page(chromium) as page:
        for number, task in enumerate(tasks):
            more = ["task.monitor()"] if number < 3 else []
            first = f"{CONNECT}task = sm.task('{task}').start()\ntask.monitor()"
            opened = Notebook(page, site)
            # Without leaving the page: each one is another tab of JupyterLab.
            opened.open(f"{task}.ipynb", first, *more, beside=number > 0)
            opened.run_all()
            shown = page.locator("[data-testid=syncmon-widget]:visible")
            expect(shown).to_have_count(1 + len(more), timeout=30_000)
            shows(shown.first.get_by_test_id("widget"), "running", 30)
        expect(page.get_by_test_id("syncmon-widget")).to_have_count(10)
        # With each task that is added the stream begins anew: there may be none for a moment.
        until(lambda: len(site.open_streams()) == 1, "one stream")
        times = page.evaluate(
            """async () => {
                 const times = [];
                 for (let n = 0; n < 60; n += 1) {
                   const began = performance.now();
                   const answer = await fetch(`/api/status?n=${n}`);
                   if (!answer.ok) throw new Error(answer.status);
                   await answer.json();
                   times.push(performance.now() - began);
                 }
                 return times.sort((a, b) => a - b);
               }"""
        )
        print(
            f"api/status: median {times[30]:.1f} ms, p95 {times[57]:.1f} ms, max {times[-1]:.1f} ms"
        )
        assert times[30] < 1_000, "Jupyter answers beside the stream"
        until(lambda: len(site.open_streams()) == 1, "one stream")
        opened.close()


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


def test_a_server_that_comes_back_leaves_no_gap_and_no_repeat(
    chromium: Browser, tmp_path: Path
) -> None:
    with notebook_site(tmp_path, "one") as site, open_page(chromium) as page:
        opened = Notebook(page, site).open("back.ipynb", f"{CONNECT}sm.task('one').monitor()")
        opened.run_all()
        widget = opened.widget()
        shows(widget, "idle", 30)
        press(widget, "start")
        shows(widget, "running")
        widget.get_by_test_id("fold-log").click()
        # JupyterLab may notice the lost server as well, and says so over everything.
        notice = page.locator(".jp-Dialog")
        page.add_locator_handler(notice, lambda: notice.get_by_role("button").last.click())
        site.server.kill()
        expect(widget.get_by_test_id("stale")).to_contain_text("reconnecting", timeout=15_000)
        expect(widget.get_by_test_id("fed-by")).to_contain_text("does not answer")
        direct = Direct(site.server.store_url, str(tmp_path / "syncmon.toml"))
        try:
            for _ in range(3):
                direct.pause("one")
                until(lambda: direct.progress("one").state == "paused", "paused")
                direct.start("one", fresh=False, only_failed=False, key=uuid.uuid4().hex)
        finally:
            direct.close()
        site.server.start()
        expect(widget.get_by_test_id("stale")).to_have_count(0, timeout=40_000)
        expect(widget.get_by_test_id("fed-by")).to_contain_text("Live from the server")
        press(widget, "pause")
        shows(widget, "paused")
        known = [entry["seq"] for entry in site.logs("one")]
        assert len(known) > 7

        def shown() -> list[int]:
            ids = widget.locator(".sm-log-row").evaluate_all(
                "rows => rows.map(row => row.dataset.testid)"
            )
            return [int(each.removeprefix("log-")) for each in ids]

        until(lambda: shown() == known, "the whole log, once")


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
