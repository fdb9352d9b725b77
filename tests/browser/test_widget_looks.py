"""How the widget looks and is worked in a notebook: themes, widths, keyboard, odd text, many tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.browser import gallery
from tests.browser.long_log import make_log
from tests.browser.notebooks import CONNECT, Notebook, notebook_site, open_page
from tests.browser.seen import MOST_ROWS, drop_bar, rows_while_dragged, sticks_out
from tests.browser.site import Site, until
from tests.browser.test_looks import AXE, TASKS, picture
from tests.simulated import SimulatedRun

pytestmark = [
    pytest.mark.browser,
    pytest.mark.xdist_group("widget-looks"),
    pytest.mark.timeout(180),
]

LONG = 30_000  # entries
STEERED = "steered"  # a task that is steered; what the others show is for all tests
# The focused element, also where it is in a shadow tree.
FOCUSED = """() => {
  let it = document.activeElement;
  while (it?.shadowRoot?.activeElement) it = it.shadowRoot.activeElement;
  return [it?.dataset.testid ?? it?.textContent?.trim() ?? '', getComputedStyle(it).outlineStyle];
}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """JupyterLab over the gallery's runs, and one with a long log."""
    with notebook_site(tmp_path_factory.mktemp("widget"), "other", takeover=False) as running:
        running.call("GET", "tasks")  # makes the store
        store = running.store()
        gallery.make(store)
        make_log(store, "long", LONG)
        SimulatedRun(store, STEERED).write("begun")
        store.close()
        yield running


@pytest.fixture(scope="module")
def notebook(chromium: Browser, site: Site) -> Iterator[Notebook]:
    """One notebook with one widget over all tasks, for all tests: loading it takes longest."""
    with open_page(chromium, reduced_motion="reduce") as page:
        opened = Notebook(page, site).open("looks.ipynb", f"{CONNECT}sm.monitor()")
        opened.run_all()
        opened.widget().wait_for(timeout=30_000)
        page.evaluate(AXE.read_text())
        yield opened
        opened.close()


def choose(widget: Locator, task_id: str) -> None:
    """Show a task, with its tables and its log."""
    widget.get_by_test_id(f"task-{task_id}").click()
    expect(widget.locator("h1")).to_have_text(task_id)
    for fold in widget.locator(".sm-fold-button[aria-expanded=false]").all()[::-1]:
        fold.click()
    expect(widget.locator(".sm-log-row").first).to_be_visible()


def problems(widget: Locator) -> list[str]:
    """What axe finds serious or critical in the widget."""
    found: list[str] = widget.evaluate(
        """async (element) => {
            const { violations } = await axe.run(element);
            return violations.filter(({ impact }) => ['serious', 'critical'].includes(impact))
                .flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) =>
                    `${id}: ${html.slice(0, 160)} ${failureSummary}`));
        }"""
    )
    return found


def too_wide(widget: Locator) -> bool:
    """Whether something in the widget sticks out of it."""
    found: bool = widget.evaluate("element => element.scrollWidth > element.clientWidth + 1")
    return found


@pytest.mark.parametrize("theme", ["JupyterLab Dark", "JupyterLab Light"])
def test_every_task_is_accessible_and_fits(notebook: Notebook, theme: str) -> None:
    page, widget = notebook.page, notebook.widget()
    change = "theme => jupyterapp.commands.execute('apputils:change-theme', { theme })"
    page.evaluate(change, theme)
    light = theme.endswith("Light")
    page.wait_for_function(
        "want => document.body.dataset.jpThemeLight === want", arg=str(light).lower()
    )
    found = []
    for task_id in TASKS:
        choose(widget, task_id)
        found += problems(widget)
        picture(page, f"widget-{'light' if light else 'dark'}-{task_id}")
        page.set_viewport_size({"width": 700, "height": 900})
        assert not too_wide(widget), f"{task_id} is wider than a narrow cell"
        page.set_viewport_size({"width": 1280, "height": 900})
    assert not found, "\n".join(found)


def test_keyboard_reaches_and_works_everything(notebook: Notebook) -> None:
    page, widget = notebook.page, notebook.widget()
    choose(widget, "nightly")
    widget.get_by_test_id("task-nightly").focus()
    seen: list[str] = []
    while "log" not in seen and len(seen) < 60:
        page.keyboard.press("Tab")
        name, outline = page.evaluate(FOCUSED)
        seen.append(name)
        assert outline != "none", f"the focus on {name} is not to be seen"
    wanted = ["command-pause", "command-stop", "fold-tables", "tables", "fold-log"]
    wanted += ["log-level-all", "log-level-warning", "log-search", "log-download", "log"]
    assert [name for name in seen if name in wanted] == wanted
    widget.get_by_test_id("log-level-warning").focus()
    page.keyboard.press("Enter")
    expect(widget.get_by_test_id("log")).to_contain_text("No warnings and no errors.")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(widget.locator(".sm-log-row")).to_have_count(4)
    widget.get_by_test_id("command-stop").focus()
    page.keyboard.press("Enter")
    expect(widget.get_by_test_id("dialog-yes")).to_be_visible()
    page.keyboard.press("Escape")
    expect(widget.get_by_test_id("dialog-yes")).to_be_hidden()
    expect(widget.get_by_test_id("command-stop")).to_be_focused()
    choose(widget, STEERED)
    widget.get_by_test_id("command-pause").focus()
    page.keyboard.press("Enter")
    expect(widget.locator(".sm-panel-head .sm-state")).to_have_attribute("data-state", "pausing")


def test_estimate_and_speed_curve_are_those_of_the_run(notebook: Notebook) -> None:
    widget = notebook.widget()
    choose(widget, "nightly")
    eta = widget.get_by_test_id("eta")
    expect(eta).to_have_text("2–4 min left")
    words = "between 2 min 10 s and 3 min 50 s, most likely 3 min 00 s"
    expect(eta).to_have_attribute("title", words)
    expect(widget.get_by_test_id("speed")).to_have_text("41.2 k rows/s")
    chart = widget.get_by_test_id("chart-speed")
    last, most = (
        f"{speed / 1_000:.1f} k rows/s" for speed in (gallery.SPEEDS[-1], max(gallery.SPEEDS))
    )
    expect(chart.locator("figcaption")).to_have_text(f"Speed{last}")
    label = re.compile(f"^Speed, .*: now {re.escape(last)}, at most {re.escape(most)}$")
    expect(chart.locator("svg")).to_have_attribute("aria-label", label)
    heights = heights_of_curve(chart)[: len(gallery.SPEEDS)]
    scale = max(heights) / max(gallery.SPEEDS)
    assert heights == pytest.approx([speed * scale for speed in gallery.SPEEDS], abs=0.2)


def heights_of_curve(chart: Locator) -> list[float]:
    """How high the points of a chart's curve are above its axis, from left to right."""
    path = chart.locator(".sm-curve").first.get_attribute("d") or ""
    points = [tuple(map(float, point.split(" "))) for point in re.split("[ML]", path) if point]
    across = [x for x, _ in points]
    assert across == sorted(across)
    bottom = float(chart.locator(".sm-axis").get_attribute("y1") or "nan") - 0.5
    return [bottom - y for _, y in points]


def test_a_stall_says_since_when_and_what_is_waited_for(notebook: Notebook, site: Site) -> None:
    widget = notebook.widget()
    choose(widget, "stalled")
    progress = site.progress("stalled")
    since = datetime.fromisoformat(progress["updated_at"]) - timedelta(
        seconds=progress["stalled_seconds"]
    )
    clock = f"{since.astimezone():%H:%M:%S}"
    stall = widget.get_by_test_id("stall")
    expect(stall.locator(".sm-notice-text")).to_have_text(
        f"Stalled since {clock}, waiting for warehouse: a lock on orders"
    )
    expect(stall).to_have_attribute("title", "the next commit is 1 min 02 s overdue")
    for figure in ("eta", "speed"):
        expect(widget.get_by_test_id(figure)).to_have_count(0)
    # The curve has no speed of now.
    expect(widget.get_by_test_id("chart-speed").locator("figcaption")).to_have_text("Speed")
    expect(widget.get_by_test_id("task-stalled")).to_contain_text("Stalled")


def test_text_of_the_log_is_text_and_tables_are_drawn_as_seen(notebook: Notebook) -> None:
    page, widget = notebook.page, notebook.widget()
    choose(widget, "odd")
    html, ansi, emoji, long = range(1_003, 1_007)
    expect(widget.get_by_test_id(f"log-{html}")).to_contain_text("<img src=x onerror=")
    assert widget.locator("img, script").count() == 0
    expect(widget.get_by_test_id(f"log-{ansi}")).to_contain_text("red and bell, done")
    expect(widget.get_by_test_id(f"log-{emoji}")).to_contain_text("🛫🧑‍✈️, combining é")
    row = widget.get_by_test_id(f"log-{long}").bounding_box()
    assert row is not None
    assert row["height"] == 24, "a long line keeps to its row"
    assert not too_wide(widget)
    assert "owned" not in page.title()
    choose(widget, "two-hundred")
    shown = widget.locator("[data-testid^=unit-table_]")
    assert 0 < shown.count() < 80
    widget.get_by_test_id("tables").focus()
    page.keyboard.press("End")
    expect(widget.get_by_test_id("unit-table_199")).to_be_visible()
    assert shown.count() < 80


def test_the_log_stays_in_the_widget_and_follows_whatever_the_window(notebook: Notebook) -> None:
    page, widget = notebook.page, notebook.widget()
    choose(widget, "nightly")
    widget.get_by_test_id("chart-speed").wait_for()
    choose(widget, "long")
    newest = widget.get_by_test_id(f"log-{LONG}")
    for width in (1_280, 1_100, 790, 620, 790, 1_280):
        page.set_viewport_size({"width": width, "height": 900})
        expect(newest).to_be_visible()
        expect(widget.get_by_test_id("log-following")).to_be_visible()
        panel = widget.get_by_test_id("panel")
        assert sticks_out(panel.locator(".sm-panel-log"), panel.locator(".sm-log")) == 0
        assert sticks_out(panel, newest) == 0, f"the log spills at {width} px"
        picture(page, f"widget-log-{width}")


def test_a_long_log_keeps_few_rows_in_the_document(notebook: Notebook) -> None:
    widget = notebook.widget()
    choose(widget, "long")
    log = widget.get_by_test_id("log")
    expect(widget.get_by_test_id(f"log-{LONG}")).to_be_visible()
    assert rows_while_dragged(log) < MOST_ROWS
    expect(widget.get_by_test_id("log-1")).to_be_visible()
    drop_bar(log, 0.5)
    expect(widget.get_by_test_id(f"log-{LONG // 2}")).to_be_visible()
    log.press("Home")
    expect(widget.get_by_test_id("log-1")).to_be_visible()
    log.press("End")
    expect(widget.get_by_test_id(f"log-{LONG}")).to_be_visible()
    widget.get_by_test_id("log-level-error").click()
    rows = widget.locator(".sm-log-row")
    until(lambda: rows.count() == LONG // 5_000, "the errors")
