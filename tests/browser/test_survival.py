"""What a person sees when the server, the browser or the connection goes, and comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import OpenPage
from tests.browser.seen import expect_state, log_lines, number, part, press, whole_log
from tests.browser.site import Site, assert_equal, fill_many, until
from tests.faults.harness import Side, side
from tests.sse import opened, seqs

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser-survival")]

TABLES = [f"t{number:02}" for number in range(60)]
ROWS = 20


class Copy:
    """A site with one task of many small tables, which takes some forty seconds, unless it is hurried."""

    def __init__(self, site: Site, source: Side, target: Side) -> None:
        self.site, self.source, self.target = site, source, target


@pytest.fixture
def copy(tmp_path: Path) -> Iterator[Copy]:
    """A server of its own: the tests kill it."""
    with side("sqlite", tmp_path / "s.db") as source, side("postgresql", tmp_path / "t") as target:
        fill_many(source, TABLES, ROWS)
        task = {
            "source": "source",
            "target": "warehouse",
            "tables": TABLES,
            "throttle": {"rows": 30},
        }
        connections = {"source": source.url, "warehouse": target.url}
        with Site(tmp_path, connections, {"nightly": task}) as site:
            yield Copy(site, source, target)


def copied(site: Site) -> int:
    """How many tables are in place."""
    found: int = site.progress("nightly")["completed_tables"]
    return found


def hurry(site: Site) -> None:
    """Let the copy run as fast as it can."""
    site.call("PATCH", "tasks/nightly/throttle", json={"rows": 100_000})


def expect_whole_log(site: Site, page: Page) -> None:
    """The page's log is the task's, without gap or repeat."""
    last = site.logs("nightly")[-1]["seq"]
    assert last > len(TABLES)
    expect(part(page, f"log-{last}")).to_be_visible()
    assert whole_log(page) == list(range(1, last + 1)), "a gap or a repeat"


def test_copy_goes_on_without_browser_and_server(
    copy: Copy, new_context: Callable[..., BrowserContext]
) -> None:
    site = copy.site
    context = new_context(site)
    page = context.new_page()
    page.goto(site.page_url)
    press(page, "start")
    expect_state(page, "running")
    until(lambda: copied(site) >= 3, "the first tables are copied")
    [worker] = site.workers()
    context.close()
    before = copied(site)
    site.server.kill()
    assert worker.is_running()
    # Nobody serves, and the copy commits all the same: the target itself says so.
    until(
        lambda: len([t for t in copy.target.leftovers() if t in TABLES]) > before + 3,
        "it goes on while there is no server",
    )
    site.server.start()
    assert [process.pid for process in site.workers()] == [worker.pid], "one worker, the same"
    page = new_context(site).new_page()
    page.goto(site.page_url)
    expect_state(page, "running", seconds=3)
    far = number(part(page, "rows").inner_text())
    assert far >= ROWS * (before + 3)
    until(lambda: number(part(page, "rows").inner_text()) > far, "the page follows it")
    assert len(site.workers()) == 1
    hurry(site)
    expect_state(page, "completed", seconds=40)
    assert_equal(copy.source, copy.target, TABLES)
    expect_whole_log(site, page)


@pytest.mark.parametrize("shared", [True, False], ids=["shared-worker", "page"])
def test_page_says_that_it_is_stale_and_recovers(
    copy: Copy, open_page: OpenPage, shared: bool
) -> None:
    site = copy.site
    page = open_page(site)
    if not shared:  # the page streams by itself where it cannot load the SharedWorker
        page.route("**/worker.js*", lambda route: route.abort())
        page.reload()
    press(page, "start")
    expect_state(page, "running")
    until(lambda: copied(site) >= 3 and len(log_lines(page)) > 3, "it runs")
    site.server.kill()
    stale = part(page, "stale")
    expect(stale).to_be_visible()
    expect(stale).to_contain_text("Last news")
    expect(stale).to_contain_text("reconnecting…")
    expect(page.locator(".sm-stale")).to_be_visible()
    expect_state(page, "running")  # what was last known stays
    # A button says that nobody answers, and works again when somebody does.
    press(page, "pause")
    expect(part(page, "refusal")).to_contain_text("The server does not answer.")
    before = number(part(page, "rows").inner_text())
    site.server.start()
    expect(stale).to_be_hidden(timeout=20_000)  # the pauses between its attempts have grown
    until(
        lambda: number(part(page, "rows").inner_text()) > before, "the page follows the copy again"
    )
    part(page, "refusal").get_by_role("button", name="Dismiss").click()
    expect(part(page, "refusal")).to_be_hidden()
    hurry(site)
    expect_state(page, "completed", seconds=40)
    expect_whole_log(site, page)
    assert_equal(copy.source, copy.target, TABLES)


def test_panel_is_worked_by_keyboard_and_recovers_without_gap(
    copy: Copy, open_page: OpenPage
) -> None:
    site = copy.site
    page = open_page(site, path="embed/nightly")
    mark = page.locator(".sm-panel-head [data-state]")
    expect(part(page, "command-start")).to_be_visible()
    page.keyboard.press("Tab")
    expect(part(page, "command-start")).to_be_focused()
    page.keyboard.press("Enter")
    expect(mark).to_have_attribute("data-state", "running", timeout=20_000)
    part(page, "fold-log").press("Enter")
    until(lambda: copied(site) >= 3 and len(log_lines(page)) > 3, "it runs")
    site.server.kill()
    expect(part(page, "stale")).to_contain_text("reconnecting…")
    site.server.start()
    expect(part(page, "stale")).to_be_hidden(timeout=20_000)
    part(page, "command-pause").press("Enter")
    expect(mark).to_have_attribute("data-state", "paused", timeout=20_000)
    part(page, "command-start").press("Enter")
    until(lambda: site.progress("nightly")["state"] == "running", "it runs again")
    hurry(site)
    expect(mark).to_have_attribute("data-state", "completed", timeout=40_000)
    expect_whole_log(site, page)


def test_raw_stream_of_a_real_copy_goes_on_over_a_kill(copy: Copy) -> None:
    """What ``curl -N`` shows: the events of the design, each entry once, over a killed server."""
    site = copy.site
    path = "tasks/nightly/stream"
    site.call("POST", "tasks/nightly/start")
    with site.server.client() as client, opened(client, path) as reader:
        headers = reader.response.headers
        assert headers["content-type"].startswith("text/event-stream")
        assert headers["cache-control"] == "no-cache"
        events = reader.until(
            lambda found: any(
                event.name == "progress" and event.data["completed_tables"] >= 5 for event in found
            )
        )
    last_id = reader.last_id
    with site.server.client() as client, opened(client, path, last_id) as reader:
        events += reader.until(lambda found: len(seqs(found)) >= 5)
    last_id = reader.last_id
    site.server.kill()
    site.server.start()
    with site.server.client() as client, opened(client, path, last_id, timeout=60) as reader:
        hurry(site)
        events += reader.rest()
        again = client.get(path, headers={"Last-Event-ID": reader.last_id or ""})
    assert again.status_code == 204, "over is over"
    assert {event.name for event in events} == {"progress", "log", "end"}
    end = events[-1]
    assert end.name == "end"
    assert end.data == site.progress("nightly")
    last = site.logs("nightly")[-1]["seq"]
    assert seqs(events) == list(range(1, last + 1)), "a gap or a repeat"
    rows = [event.data["rows_committed"] for event in events if event.name != "log"]
    assert rows == sorted(rows)
    far = [event.data["overall_progress"] or 0.0 for event in events if event.name != "log"]
    assert far == sorted(far)
    assert all(value < 100 for value in far[:-1] if value != far[-1])
