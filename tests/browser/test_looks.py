"""How the page looks and is worked: themes, widths, keyboard, screen readers, odd addresses."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, ViewportSize, expect

from tests.browser import gallery
from tests.browser.conftest import OpenPage
from tests.browser.long_log import make_log
from tests.browser.seen import is_cut, lines, log_lines, overflows, part, press, sticks_out
from tests.browser.site import Site, until

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser-looks")]

AXE = Path(__file__).parents[2] / "widgets" / "node_modules" / "axe-core" / "axe.min.js"
TASKS = ("nightly", "stalled", "crm", "two-hundred", "training", "odd")
LONG = 300  # entries
NARROW: ViewportSize = {"width": 390, "height": 800}
# The folder that pictures are kept in, to be looked at.
PICTURES = os.environ.get("SYNCMON_PICTURES")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The gallery, below an address that must be quoted wherever it is used."""
    folder = tmp_path_factory.mktemp("looks")
    with Site(folder, {}, {}, base_url="/us%C3%A9r/a%20b&c/", takeover=False) as running:
        running.call("GET", "tasks")  # makes the store
        store = running.store()
        gallery.make(store)
        make_log(store, "long", LONG)
        store.close()
        yield running


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server that nobody has configured yet."""
    with Site(tmp_path_factory.mktemp("empty"), {}, {}) as running:
        yield running


def picture(page: Page, name: str) -> None:
    """Keep a picture, where somebody wants to look at it."""
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}.png")


def problems(page: Page) -> list[str]:
    """What axe finds serious or critical."""
    assert AXE.exists(), f"{AXE} is missing: run `make install`"
    page.evaluate(AXE.read_text())
    found: dict[str, Any] = page.evaluate("axe.run(document)")
    return [
        f"{rule['impact']} {rule['id']}: {node['html'][:160]} {node.get('failureSummary', '')}"
        for rule in found["violations"]
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_view_is_accessible_and_fits(site: Site, open_page: OpenPage, theme: str) -> None:
    page = open_page(site, "task=nightly", color_scheme=theme)
    found = []
    for task_id in TASKS:
        part(page, f"task-{task_id}").click()
        expect(part(page, "task-name")).to_have_text(task_id)
        expect(page.locator(".sm-log-row").first).to_be_visible()
        found += problems(page)
        picture(page, f"{theme}-{task_id}")
        page.set_viewport_size(NARROW)
        expect(page.locator(".sm-log-row").first).to_be_visible()
        assert overflows(page) is None, f"{task_id} is wider than a narrow window"
        picture(page, f"{theme}-{task_id}-narrow")
        page.set_viewport_size({"width": 1280, "height": 860})
    part(page, "task-nightly").click()
    for tab in ("timeline", "plan", "runs"):
        part(page, f"tab-{tab}").click()
        expect(part(page, f"tab-{tab}")).to_have_attribute("aria-selected", "true")
        found += problems(page)
        picture(page, f"{theme}-tab-{tab}")
    press(page, "stop")
    expect(part(page, "dialog")).to_be_visible()
    found += problems(page)
    picture(page, f"{theme}-dialog")
    assert not found, "\n".join(found)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_panel_is_accessible_and_compact(site: Site, open_page: OpenPage, theme: str) -> None:
    size = {"width": 760, "height": 480}
    page = open_page(site, path="embed/nightly", color_scheme=theme, viewport=size)
    panel = part(page, "panel")
    expect(part(page, "last-entry")).to_contain_text("weather")
    box = panel.bounding_box()
    assert box is not None
    assert box["height"] <= 170, "a panel is about 150 px high"
    found = problems(page)
    picture(page, f"panel-{theme}")
    for fold in ("tables", "log"):
        part(page, f"fold-{fold}").click()
    expect(part(page, "unit-flights")).to_be_visible()
    expect(page.locator(".sm-log-row").first).to_be_visible()
    found += problems(page)
    picture(page, f"panel-{theme}-open")
    page.set_viewport_size({"width": 340, "height": 480})
    assert overflows(page) is None
    picture(page, f"panel-{theme}-narrow")
    assert not found, "\n".join(found)
    link = page.get_by_role("link", name="Open nightly on the page").get_attribute("href")
    assert link == f"{site.server.base_url}syncmon/#task=nightly"


@pytest.mark.parametrize("width", [360, 620, 790, 1_100])
def test_the_log_of_a_panel_stays_in_it(site: Site, open_page: OpenPage, width: int) -> None:
    size = {"width": width, "height": 600}
    page = open_page(site, path="embed/long", viewport=size)
    part(page, "fold-log").click()
    expect(part(page, f"log-{LONG}")).to_be_visible()
    panel = part(page, "panel")
    assert sticks_out(panel.locator(".sm-panel-log"), panel.locator(".sm-log")) == 0
    assert sticks_out(panel, part(page, f"log-{LONG}")) == 0, "the newest line is cut off"
    picture(page, f"panel-log-{width}")


def test_the_log_of_a_panel_follows_while_its_frame_changes(
    site: Site, open_page: OpenPage
) -> None:
    page = open_page(site, path="embed/long", viewport={"width": 900, "height": 600})
    part(page, "fold-log").click()
    for width in (900, 620, 340, 620, 900, 390, 900):
        page.set_viewport_size({"width": width, "height": 600})
        until(lambda width=width: page.evaluate("innerWidth") == width, "the width")  # type: ignore[misc]
        until(lambda: log_lines(page)[-1:] == [LONG], "the newest line")
        expect(part(page, "log-following")).to_be_visible()
        assert sticks_out(part(page, "panel"), part(page, f"log-{LONG}")) == 0
    part(page, "log").hover()
    page.mouse.wheel(0, -400)
    expect(part(page, "log-jump")).to_be_visible()


@pytest.mark.parametrize("width", [300, 360, 620])
def test_a_narrow_panel_names_its_table_and_keeps_its_lines(
    site: Site, open_page: OpenPage, width: int
) -> None:
    page = open_page(site, path="embed/nightly", viewport={"width": width, "height": 480})
    panel, rows = part(page, "panel"), part(page, "rows")
    expect(rows).to_have_text("212,911 of 367,687 rows")
    assert lines(rows) == 1
    name = panel.locator(".sm-current .sm-cut")
    expect(name).to_have_text("flights")
    assert not is_cut(name), "the table's name"
    assert sticks_out(panel, panel.locator(".sm-current")) == 0
    assert overflows(page) is None
    picture(page, f"panel-narrow-{width}")


@pytest.mark.parametrize("width", [360, 620, 1_100])
def test_the_question_of_a_panel_moves_none_of_its_buttons(
    site: Site, open_page: OpenPage, width: int
) -> None:
    page = open_page(site, path="embed/nightly", viewport={"width": width, "height": 480})
    buttons = page.locator(".sm-panel-head .sm-button:not(dialog .sm-button)")
    expect(buttons).to_have_count(3)
    before = [button.bounding_box() for button in buttons.all()]
    press(page, "stop")
    dialog = part(page, "dialog")
    expect(dialog).to_contain_text(
        "Discards 182,000 rows copied so far and the checkpoints of 1 table. "
        "That target table is as it was before this run."
    )
    assert [button.bounding_box() for button in buttons.all()] == before
    assert sticks_out(part(page, "panel"), dialog) == 0
    picture(page, f"panel-dialog-{width}")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(part(page, "command-stop")).to_be_focused()


def test_theme_of_the_address_wins(site: Site, open_page: OpenPage) -> None:
    page = open_page(site, path="?theme=dark", color_scheme="light")
    expect(part(page, "task-name")).to_be_visible()
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.goto(f"{site.page_url}?theme=light")
    expect(part(page, "task-name")).to_be_visible()
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark != light


def test_empty_page_teaches(empty: Site, open_page: OpenPage) -> None:
    page = open_page(empty)
    expect(part(page, "empty")).to_contain_text("No tasks yet")
    expect(part(page, "empty")).to_contain_text("syncmon.toml")
    assert not problems(page)
    picture(page, "empty")
    page.set_viewport_size(NARROW)
    assert overflows(page) is None
    picture(page, "empty-narrow")


def test_example_of_the_empty_page_is_one_that_works(empty: Site, open_page: OpenPage) -> None:
    page = open_page(empty)
    before = empty.config.read_text()
    empty.config.write_text(part(page, "empty").locator("pre").inner_text())
    try:
        expect(part(page, "task-nightly")).to_be_visible(timeout=15_000)
    finally:
        empty.config.write_text(before)


def test_keyboard_reaches_and_works_everything(site: Site, open_page: OpenPage) -> None:
    page = open_page(site, "task=two-hundred")
    expect(part(page, "task-name")).to_have_text("two-hundred")
    seen = []

    def focused() -> str:
        found: str = page.evaluate(
            """() => {
                const it = document.activeElement;
                return it.dataset.testid ?? it.textContent.trim();
            }"""
        )
        return found

    for _ in range(60):
        page.keyboard.press("Tab")
        seen.append(focused())
        if page.evaluate("document.activeElement === document.body"):
            break
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", f"the focus on {seen[-1]} is not to be seen"
    wanted = ["task-filter", "task-two-hundred", "command-pause", "command-stop", "tab-tables"]
    wanted += ["tables", "log-level-all", "log-search", "log-download", "log"]
    assert [name for name in seen if name in wanted] == wanted

    part(page, "tab-tables").focus()
    page.keyboard.press("ArrowRight")
    expect(part(page, "tab-timeline")).to_be_focused()
    expect(part(page, "tab-timeline")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Home")
    expect(part(page, "tab-tables")).to_be_focused()

    part(page, "command-stop").focus()
    page.keyboard.press("Enter")
    expect(part(page, "dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(part(page, "dialog")).to_be_hidden()
    expect(part(page, "command-stop")).to_be_focused()

    part(page, "log").focus()
    page.keyboard.press("ArrowUp")
    expect(part(page, "log-detail")).to_be_visible()
    page.keyboard.press("Escape")
    expect(part(page, "log-detail")).to_be_hidden()

    part(page, "tables").focus()
    expect(part(page, "unit-table_199")).to_have_count(0)
    page.keyboard.press("End")
    expect(part(page, "unit-table_199")).to_be_visible()


def test_state_is_said_in_words_and_to_screen_readers(site: Site, open_page: OpenPage) -> None:
    page = open_page(site, "task=nightly")
    expect(part(page, "announcement")).to_have_text("nightly: Running")
    bar = page.get_by_role("progressbar", name="Progress of nightly")
    expect(bar).to_have_attribute("aria-valuenow", "57.9")
    expect(bar).to_have_attribute("aria-valuetext", "57 % 212,911 of 367,687 rows")
    expect(page.get_by_role("log", name="Log entries")).to_be_visible()
    expect(part(page, "eta")).to_have_text("2–4 min left")
    expect(page).to_have_title("● 57 % nightly – syncmon")
    part(page, "task-stalled").click()
    expect(part(page, "stall")).to_contain_text("Stalled since")
    expect(part(page, "stall")).to_contain_text("waiting for warehouse: a lock on orders")
    for figure in ("eta", "speed"):
        expect(part(page, figure)).to_have_count(0)
    expect(part(page, "chart-speed").locator("figcaption")).to_have_text("Speed")
    expect(part(page, "unit-orders")).to_contain_text("40 of 100")
    assert part(page, "unit-orders").locator(".sm-number").all_inner_texts()[2:4] == ["", ""]


def test_loop_counts_iterations_and_has_no_tables(site: Site, open_page: OpenPage) -> None:
    page = open_page(site, "task=training")
    expect(part(page, "rows")).to_have_text("1,200 of 5,000 iterations")
    expect(part(page, "speed")).to_have_text("40 iterations/s")
    expect(part(page, "sentence")).to_contain_text("At epoch 2, loss 0.31.")
    expect(page.get_by_role("tab")).to_have_text(["Runs"])
    expect(part(page, "run-training-1")).to_be_visible()
    page.goto(f"{site.page_url}embed/training")
    expect(part(page, "note")).to_have_text("epoch 2, loss 0.31")
    expect(part(page, "fold-tables")).to_have_count(0)
    assert " rows" not in part(page, "panel").inner_text()
    picture(page, "panel-loop")


def test_a_loop_that_has_ended_offers_nothing_and_keeps_its_error(
    site: Site, open_page: OpenPage
) -> None:
    page = open_page(site, "task=broken")
    expect(part(page, "run-error")).to_contain_text("loss is not a number")
    expect(page.locator(".sm-commands button")).to_have_count(0)
    expect(part(page, "task-broken").locator(".sm-list-far")).to_have_text("24 %")
    page.goto(f"{site.page_url}embed/broken")
    expect(part(page, "run-error")).to_contain_text("loss is not a number")
    expect(page.locator(".sm-commands button")).to_have_count(0)
    picture(page, "panel-loop-failed")


def test_failed_table_shows_its_remedy(site: Site, open_page: OpenPage) -> None:
    page = open_page(site, "task=crm")
    error = part(page, "unit-error-crm_calls")
    expect(error).to_contain_text("table crm_calls has no key")
    expect(error).to_contain_text("add key = [...] or mode = replace")
    link = error.get_by_role("button", name="the error of crm_calls")
    link.press("Enter")
    expect(part(page, "log-detail")).to_contain_text("table crm_calls has no key")
