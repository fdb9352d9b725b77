"""The log on the page: filters, search, following, downloads, and text that tries to be more."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from syncmon_ext.model.log import MESSAGE_BYTES, Level
from syncmon_ext.store.log import trim
from syncmon_ext.store.store import Store
from tests.browser import gallery
from tests.browser.conftest import OpenPage
from tests.browser.long_log import make_log
from tests.browser.seen import MOST_ROWS, drop_bar, log_lines, part, rows_while_dragged
from tests.browser.site import Site, until
from tests.simulated import SimulatedRun

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser-looks")]

ROW_PX = 24
WARNING, ERROR = 1_001, 1_002  # the lines of the odd log that are more than information


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server over runs that were only written down."""
    with Site(tmp_path_factory.mktemp("log"), {}, {}, takeover=False) as running:
        running.call("GET", "tasks")  # makes the store
        store = running.store()
        gallery.odd(store)
        gallery.many(store)
        store.close()
        yield running


@pytest.fixture
def store(site: Site) -> Iterator[Store]:
    """The server's store."""
    opened = site.store()
    yield opened
    opened.close()


def levels(page: Page) -> set[str]:
    """The levels of the lines that are on the screen at once."""
    rows = page.locator(".sm-log-row")
    return set(rows.evaluate_all("rows => rows.map(row => row.dataset.level)"))


def downloaded(page: Page) -> list[dict[str, str]]:
    """The rows of the file that the button gives."""
    with page.expect_download() as download:
        part(page, "log-download").click()
    assert download.value.suggested_filename == "odd-log.csv"
    return list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(), newline="")))


def test_levels_are_filtered_and_warnings_hold_the_errors(site: Site, open_page: OpenPage) -> None:
    page = open_page(site, "task=odd")
    expect(part(page, f"log-{ERROR}")).to_be_visible()
    part(page, "log-level-warning").click()
    expect(part(page, f"log-{ERROR - 2}")).to_have_count(0)
    until(lambda: log_lines(page) == [WARNING, ERROR], "the warning and the error")
    assert [row["seq"] for row in downloaded(page)] == [str(WARNING), str(ERROR)]
    part(page, "log-level-error").click()
    until(lambda: log_lines(page) == [ERROR], "the error")
    part(page, "log-level-all").click()
    expect(part(page, f"log-{ERROR + 1}")).to_be_visible()
    assert levels(page) == {"info", "warning", "error"}


def test_filter_holds_for_what_comes_later(site: Site, store: Store, open_page: OpenPage) -> None:
    run = SimulatedRun(store, "live-filter")
    page = open_page(site, "task=live-filter")
    part(page, "log-level-warning").click()
    expect(part(page, "log")).to_contain_text("No warnings and no errors.")
    run.write("nothing to see")
    run.write("look out", level=Level.WARNING)
    run.write("it broke", level=Level.ERROR)
    run.write("all is well")
    expect(part(page, "log-3")).to_be_visible()
    assert log_lines(page) == [2, 3]


def test_search_is_done_on_the_server(site: Site, open_page: OpenPage) -> None:
    page = open_page(site, "task=odd")
    expect(part(page, f"log-{ERROR}")).to_be_visible()
    with page.expect_request(lambda request: "q=line+77" in request.url):
        part(page, "log-search").fill("line 77")
    wanted = [77, *range(770, 780)]  # most were never loaded before
    until(lambda: log_lines(page) == wanted, "what is found, from the whole log")
    assert [int(row["seq"]) for row in downloaded(page)] == wanted
    part(page, "log-search").fill("no such words")
    expect(part(page, "log")).to_contain_text("No entry contains “no such words”.")
    part(page, "log-search").fill("")
    expect(part(page, f"log-{ERROR}")).to_be_visible()


def test_search_ends_where_a_line_outside_of_it_is_shown(site: Site, open_page: OpenPage) -> None:
    page = open_page(site, "task=odd")
    expect(part(page, f"log-{ERROR}")).to_be_visible()
    part(page, "log-search").fill("line 77")
    until(lambda: log_lines(page) == [77, *range(770, 780)], "what is found")
    page.evaluate("location.hash = 'task=odd&line=500'")
    expect(part(page, "log-500")).to_be_visible()
    expect(part(page, "log-499")).to_be_visible()
    expect(part(page, "log-search")).to_have_value("")
    part(page, "log-search").fill("line 77")
    until(lambda: log_lines(page) == [77, *range(770, 780)], "the same, found again")


def test_log_follows_until_it_is_scrolled_up(site: Site, store: Store, open_page: OpenPage) -> None:
    run = SimulatedRun(store, "followed")
    run.write(*(f"line {number}" for number in range(1, 301)))
    page = open_page(site, "task=followed")
    expect(part(page, "log-300")).to_be_visible()
    run.write("line 301")
    expect(part(page, "log-301")).to_be_visible()
    expect(part(page, "log-following")).to_be_visible()
    part(page, "log").hover()
    page.mouse.wheel(0, -400)
    expect(part(page, "log-following")).to_have_count(0)
    top = log_lines(page)[0]
    place = part(page, f"log-{top + 15}").bounding_box()
    run.write("line 302", "line 303")
    expect(part(page, "log-jump")).to_contain_text("2 new")
    assert part(page, f"log-{top + 15}").bounding_box() == place, "what is read must not move"
    # Up to the first line, which has to be loaded.
    for _ in range(30):
        page.mouse.wheel(0, -2_000)
        if part(page, "log-1").count():
            break
    expect(part(page, "log-1")).to_be_visible()
    part(page, "log-jump").click()
    expect(part(page, "log-303")).to_be_visible()
    run.write("line 304")
    expect(part(page, "log-304")).to_be_visible()
    part(page, "log").hover()
    page.mouse.wheel(0, -400)
    expect(part(page, "log-jump")).to_be_visible()
    page.mouse.wheel(0, 100_000)
    expect(part(page, "log-following")).to_be_visible()


def test_log_follows_while_the_window_changes(
    site: Site, store: Store, open_page: OpenPage
) -> None:
    run = SimulatedRun(store, "resized")
    run.write(*(f"line {number}" for number in range(1, 301)))
    page = open_page(site, "task=resized")
    for step, (width, height) in enumerate([(1280, 600), (1280, 1000), (700, 900), (1280, 860)]):
        page.set_viewport_size({"width": width, "height": height})
        last = 301 + step
        run.write(f"line {last}")
        expect(part(page, f"log-{last}")).to_be_visible()
        until(lambda last=last: log_lines(page)[-1] == last, "the newest line")  # type: ignore[misc]
        expect(part(page, "log-following")).to_be_visible()
    # While it is not followed, a change of the window does not begin to follow it.
    part(page, "log").hover()
    page.mouse.wheel(0, -400)
    expect(part(page, "log-jump")).to_be_visible()
    page.set_viewport_size({"width": 1280, "height": 600})
    run.write("line 305")
    expect(part(page, "log-jump")).to_contain_text("1 new")


def test_text_of_the_log_is_text(site: Site, open_page: OpenPage) -> None:
    page = open_page(site, "task=odd")
    html, ansi, emoji, long = range(ERROR + 1, ERROR + 5)
    expect(part(page, f"log-{html}")).to_contain_text("<img src=x onerror=")
    expect(part(page, f"log-{html}")).to_contain_text("<script>")
    assert page.locator("#syncmon img, #syncmon script").count() == 0
    expect(part(page, f"log-{ansi}")).to_contain_text("red and bell, done")
    assert "\x1b" not in part(page, f"log-{ansi}").inner_text()
    expect(part(page, f"log-{emoji}")).to_contain_text("🛫🧑‍✈️, combining é")
    part(page, f"log-{long}").click()
    text = part(page, "log-detail").locator(".sm-log-text").inner_text()
    assert text.startswith("long xxx")
    assert text.endswith("…"), "what was cut says so"
    assert MESSAGE_BYTES - 10 < len(text) <= MESSAGE_BYTES
    row = part(page, f"log-{long}").bounding_box()
    assert row is not None
    assert row["height"] == 24, "a long line keeps to its row"
    assert "owned" not in page.title()
    assert "line=" + str(long) in page.url
    rows = downloaded(page)
    assert [int(row["seq"]) for row in rows] == list(range(1, long + 1))
    assert rows[html - 1]["message"] == gallery.ODD_LINES[0]


def test_two_hundred_tables_draw_what_is_seen(site: Site, open_page: OpenPage) -> None:
    page = open_page(site, "task=two-hundred")
    expect(part(page, "unit-table_000")).to_be_visible()
    assert page.locator("[data-testid^=unit-table_]").count() < 80
    page.get_by_role("button", name="running").click()
    expect(part(page, "unit-table_110")).to_be_visible()
    shown = page.locator("[data-testid^=unit-table_]")
    assert {row.get_attribute("data-state") for row in shown.all()} == {"running"}
    expect(shown).to_have_count(10)
    page.get_by_role("button", name="200 tables").click()
    part(page, "tables").hover()
    page.mouse.wheel(0, 100_000)
    expect(part(page, "unit-table_199")).to_be_visible()
    expect(part(page, "tables")).to_have_attribute("aria-rowcount", "201")


def test_a_long_log_keeps_few_rows_in_the_document(
    site: Site, store: Store, open_page: OpenPage
) -> None:
    last = 60_000
    make_log(store, "endless", last)
    page = open_page(site, "task=endless")
    log = part(page, "log")
    expect(part(page, f"log-{last}")).to_be_visible()
    assert rows_while_dragged(log) < MOST_ROWS
    expect(part(page, "log-1")).to_be_visible()
    assert log_lines(page)[:10] == list(range(1, 11))
    drop_bar(log, 0.5)
    expect(part(page, f"log-{last // 2}")).to_be_visible()
    log.press("Home")
    expect(part(page, "log-1")).to_be_visible()
    assert log_lines(page)[:10] == list(range(1, 11))
    log.press("End")
    expect(part(page, f"log-{last}")).to_be_visible()
    part(page, "log-level-error").click()
    until(lambda: levels(page) == {"error"}, "the errors")
    part(page, "log-search").fill("5,000,000")
    until(lambda: log_lines(page) == [50_000], "the one error with these words")
    expect(part(page, "log-found")).to_have_text("1 found")


def test_the_scroll_bar_spans_the_whole_log(site: Site, store: Store, open_page: OpenPage) -> None:
    """Of which the older half was pruned, as the page learns where the bar is dropped there."""
    last, first = 40_000, 20_001
    make_log(store, "pruned", last)
    with store.write() as connection:
        trim(connection, "pruned", first)
    page = open_page(site, "task=pruned")
    log = part(page, "log")
    expect(part(page, f"log-{last}")).to_be_visible()
    assert log.evaluate("box => box.scrollHeight") == last * ROW_PX
    drop_bar(log, 0.75)
    expect(part(page, "log-30000")).to_be_visible()
    expect(part(page, "log-jump")).to_be_visible()
    log.hover()
    for top in range(29_890, 29_400, -100):  # further than a page of entries
        page.mouse.wheel(0, -2_400)
        expect(part(page, f"log-{top}")).to_be_visible()
    shown = log_lines(page)
    assert shown == list(range(shown[0], shown[0] + len(shown)))
    drop_bar(log, 0.1)
    until(lambda: log.evaluate("box => box.scrollHeight") == (last - first + 1) * ROW_PX, "pruned")
    drop_bar(log, 0)
    expect(part(page, f"log-{first}")).to_be_visible()
    drop_bar(log, 1)
    expect(part(page, f"log-{last}")).to_be_visible()
    expect(part(page, "log-following")).to_be_visible()
    part(page, "log-search").fill("at last")
    expect(part(page, "log-found")).to_have_text("200 found so far")
