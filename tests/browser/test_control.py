"""A person at the page starts, pauses, resumes and stops real copies."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenPage
from tests.browser.seen import (
    expect_state,
    log_lines,
    number,
    part,
    press,
    record,
    recorded,
    whole_log,
)
from tests.browser.site import Site, assert_equal, fill, fill_many, until
from tests.faults.harness import Side, side

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser-control")]

FLIGHTS = 2_000
MANY = 40
RELOAD_SECONDS = (
    2.0  # until state, rows and log stand there again; half a second where nothing else runs
)
TABLES = ["empty", "carriers", "flights"]


class Copies:
    """The site with a SQLite source and two targets, one of them PostgreSQL."""

    def __init__(self, site: Site, source: Side, lite: Side, postgres: Side) -> None:
        self.site, self.source, self.lite, self.postgres = site, source, lite, postgres


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copies]:
    """One server; its tasks take about two seconds, but the slow ones, which take half a minute."""
    folder = tmp_path_factory.mktemp("control")
    with (
        side("sqlite", folder / "source.db") as source,
        side("sqlite", folder / "lite.db") as lite,
        side("sqlite", folder / "slow.db") as slow,
        side("sqlite", folder / "other.db") as other,
        side("postgresql", folder / "copy") as postgres,
    ):
        fill(source, FLIGHTS)
        many = [f"t{number:02}" for number in range(MANY)]
        fill_many(source, many, 15)
        connections = {
            "source": source.url,
            "lite": lite.url,
            "slow": slow.url,
            "other": other.url,
            "many": f"sqlite:///{folder / 'many.db'}",
            "warehouse": postgres.url,
        }
        common = {"source": "source", "tables": TABLES, "chunk_rows": 100}
        quick, slowly = {"throttle": {"rows": 600}}, {"throttle": {"rows": 60}, "chunk_rows": 20}
        tasks = {
            "nightly": {**common, "target": "warehouse", **quick},
            "lite": {**common, "target": "lite", **quick},
            "slow": {**common, "target": "slow", **slowly},
            "other": {**common, "target": "other", **slowly},
            "many": {**common, "target": "many", "tables": many, "throttle": {"rows": 100}},
        }
        with Site(folder, connections, tasks) as site:
            yield Copies(site, source, lite, postgres)


@pytest.mark.parametrize("task_id", ["nightly", "lite"])
def test_started_copy_moves_its_bars_and_completes_with_equal_content(
    copies: Copies, open_page: OpenPage, task_id: str
) -> None:
    page = open_page(copies.site, f"task={task_id}")
    expect_state(page, "idle")
    expect(part(page, "rows")).to_have_text("not started")
    record(page, {"percent": "innerText", "rows": "innerText", "task-name": "innerText"})
    press(page, "start")
    expect_state(page, "running")
    expect_state(page, "completed")
    expect(part(page, "percent")).to_have_text("100 %")
    expect(part(page, "rows")).to_have_text(f"{FLIGHTS + 40:,} rows")
    seen = [
        (look["state"], number(look["percent"]), number(look["rows"]))
        for look in recorded(page)
        if look["percent"].endswith("%") and look["rows"][0].isdigit()
    ]
    running = [(percent, rows) for state, percent, rows in seen if state == "running"]
    assert len(set(running)) >= 4, f"the bar stood still: {seen}"
    assert running == sorted(running), "a number fell"
    assert all(percent < 100 for percent, _ in running), "100 % before the end"
    for table in TABLES:
        expect(part(page, f"unit-{table}")).to_have_attribute("data-state", "completed")
    expect(part(page, "sentence")).to_contain_text("All tables are in place")
    assert_equal(copies.source, copies.postgres if task_id == "nightly" else copies.lite, TABLES)
    # The whole log came over the stream and the reads around it, each line once.
    assert whole_log(page) == [entry["seq"] for entry in copies.site.logs(task_id)]


def test_paused_copy_resumes_and_a_stop_is_asked_once(copies: Copies, open_page: OpenPage) -> None:
    site = copies.site
    page = open_page(site, "task=slow")
    press(page, "start")
    expect_state(page, "running")
    until(lambda: site.progress("slow")["rows_committed"] > 60, "rows are committed")
    # What the button says between the click and the pause, which may be too quick to look at.
    record(page, {"command-pause": "innerText"})
    press(page, "pause")
    expect_state(page, "paused")
    assert "Pausing…" in [look["command-pause"] for look in recorded(page)]
    until(lambda: not site.workers(), "no process is held while paused")
    far = site.progress("slow")["rows_committed"]
    assert number(part(page, "rows").inner_text()) == far
    expect(part(page, "command-start")).to_have_text("Resume")

    press(page, "start")
    expect_state(page, "running")
    until(lambda: number(part(page, "rows").inner_text()) > far, "it goes on from there")
    assert len(site.workers()) == 1

    press(page, "stop")
    dialog = part(page, "dialog")
    expect(dialog).to_contain_text("Stop slow?")
    expect(dialog).to_contain_text("Discards")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    expect_state(page, "running")
    press(page, "stop")
    part(page, "dialog-yes").click()
    expect_state(page, "stopped")
    final = site.progress("slow")["rows_committed"]
    assert far <= final < FLIGHTS
    expect(part(page, "rows")).to_contain_text(f"{final:,} of")
    expect(part(page, "command-start")).to_have_text("Start")
    expect(part(page, "task-slow")).to_have_attribute("data-state", "stopped")
    page.reload()
    expect_state(page, "stopped")
    expect(part(page, "rows")).to_contain_text(f"{final:,} of")
    expect(part(page, "unit-flights")).to_have_attribute("data-state", "stopped")


def test_a_double_click_is_one_press(copies: Copies, open_page: OpenPage) -> None:
    site = copies.site
    page = open_page(site, path="embed/slow")
    sent: list[str] = []
    page.on(
        "request", lambda request: sent.append(request.url) if request.method == "POST" else None
    )
    mark = page.locator(".sm-panel-head .sm-state")
    for command, there in (("start", "running"), ("pause", "paused"), ("start", "running")):
        part(page, f"command-{command}").dblclick()
        expect(mark).to_have_attribute("data-state", there, timeout=20_000)
    # Two clicks before anything is drawn, as of an assistive tool.
    twice = "button => { button.click(); button.click(); }"
    expect(
        part(page, "command-pause")
    ).to_be_enabled()  # the start may be shown before it is answered
    part(page, "command-pause").evaluate(twice)
    expect(mark).to_have_attribute("data-state", "paused", timeout=20_000)
    part(page, "command-stop").dblclick()
    part(page, "dialog-yes").evaluate(twice)
    expect(mark).to_have_attribute("data-state", "stopped", timeout=20_000)
    assert [url.rsplit("/", 1)[-1] for url in sent] == ["start", "pause", "start", "pause", "stop"]
    expect(part(page, "refusal")).to_have_count(0)


def test_two_copies_at_once_are_watched_over_one_stream(
    copies: Copies, open_page: OpenPage
) -> None:
    site = copies.site
    page = open_page(site, "task=slow")
    press(page, "start")
    expect_state(page, "running")
    part(page, "task-other").click()
    expect(part(page, "task-name")).to_have_text("other")
    press(page, "start")
    expect_state(page, "running")
    expect(part(page, "task-slow")).to_have_attribute("data-state", "running")
    # The one that is not shown moves in the list all the same.
    row = part(page, "task-slow").locator(".sm-list-far")
    before = row.inner_text()
    until(lambda: row.inner_text() != before, "the other copy moves in the list")

    def logs_of() -> list[str]:
        return [uri for uri in site.open_streams() if "logs=other" in uri]

    until(lambda: len(site.open_streams()) == 1 and len(logs_of()) == 1, "one stream, with its log")
    part(page, "task-slow").click()
    expect(part(page, "task-name")).to_have_text("slow")
    until(lambda: len(site.open_streams()) == 1 and not logs_of(), "the old stream is closed")
    until(lambda: "logs=slow" in site.open_streams()[0], "the log of what is shown")
    # A second tab shares the stream of the first.
    tab = page.context.new_page()
    tab.goto(f"{site.page_url}#task=slow")
    expect_state(tab, "running")
    first = part(tab, "rows").inner_text()
    until(lambda: part(tab, "rows").inner_text() != first, "the second tab is fed")
    assert len(site.open_streams()) == 1
    tab.close()
    page.goto("about:blank")
    until(lambda: not site.open_streams(), "a page that is left holds no stream")
    site.finish("slow")
    site.finish("other")


def test_pause_closes_the_log_stream_and_shows_the_last_line(
    copies: Copies, open_page: OpenPage
) -> None:
    site = copies.site
    page = open_page(site, "task=other")
    press(page, "start")
    expect_state(page, "running")
    until(lambda: "logs=other" in "".join(site.open_streams()), "the log is streamed")
    press(page, "pause")
    expect_state(page, "paused")
    until(lambda: "logs=other" not in "".join(site.open_streams()), "its stream is closed")
    expect(part(page, f"log-{site.logs('other')[-1]['seq']}")).to_be_visible()
    site.finish("other")


def test_reload_shows_the_same_within_two_seconds(copies: Copies, open_page: OpenPage) -> None:
    site = copies.site
    page = open_page(site, "task=many")
    press(page, "start")
    expect_state(page, "running")
    for tables in (5, 15):
        until(
            lambda tables=tables: site.progress("many")["completed_tables"] >= tables,  # type: ignore[misc]
            f"{tables} tables are copied",
        )
        rows, line = number(part(page, "rows").inner_text()), log_lines(page)[-1]
        began = time.monotonic()
        page.reload(wait_until="commit")
        expect(part(page, "rows")).to_be_visible()
        assert number(part(page, "rows").inner_text()) >= rows
        expect_state(page, "running")
        expect(part(page, f"log-{line}")).to_be_visible()
        seconds = time.monotonic() - began
        print(f"reload: all shown again after {seconds:.2f} s")
        assert seconds < RELOAD_SECONDS
    expect_state(page, "completed", seconds=40)
    last = site.logs("many")[-1]["seq"]
    assert last > MANY
    expect(part(page, f"log-{last}")).to_be_visible()
    assert whole_log(page) == list(range(1, last + 1)), "a gap or a repeat"
