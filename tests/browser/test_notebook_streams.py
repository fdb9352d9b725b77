"""The stream that widgets of a browser share, and what they show once a lost one is there again."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from syncmon_widgets.direct import Direct
from tests.browser.conftest import OpenNotebook
from tests.browser.notebooks import CONNECT, Notebook, notebook_site, open_page, press, shows
from tests.browser.site import Site, until

pytestmark = [
    pytest.mark.browser,
    pytest.mark.xdist_group("notebook-streams"),
    pytest.mark.timeout(180),
]


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
