"""What is at rest is read once; what is wrong is said where it went wrong, with its remedy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage
from tests.browser.seen import expect_state, part, press
from tests.browser.site import Site, until
from tests.browser.test_looks import picture
from tests.faults.harness import side

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser-control")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with a task of which one table fails, and one that has been completed."""
    folder = tmp_path_factory.mktemp("reading")
    with side("sqlite", folder / "source.db") as source, side("sqlite", folder / "t.db") as target:
        source.execute("CREATE TABLE good (id INTEGER PRIMARY KEY, v TEXT)")
        source.execute("INSERT INTO good VALUES (?, ?)", [(n, f"v{n}") for n in range(50)])
        source.execute("CREATE TABLE bad (id INTEGER PRIMARY KEY, v TEXT)")
        source.execute("INSERT INTO bad VALUES (1, NULL)")
        target.execute("CREATE TABLE bad (id INTEGER PRIMARY KEY, v TEXT NOT NULL)")
        connections = {"source": source.url, "target": target.url}
        common: dict[str, Any] = {"source": "source", "target": "target"}
        tasks = {
            "mixed": {**common, "tables": ["good", "bad", "missing"]},
            "slow": {**common, "tables": ["good"], "throttle": {"rows": 5}},
            "done": {**common, "tables": ["good"]},
        }
        with Site(folder, connections, tasks) as running:
            running.call("POST", "tasks/done/start")
            until(lambda: running.progress("done")["state"] == "completed", "completed")
            yield running


def come_back(page: Page) -> None:
    """Look at the page again, after a while in an editor."""
    page.evaluate("window.dispatchEvent(new FocusEvent('focus'))")


def test_task_at_rest_is_read_once_and_opens_no_stream_of_its_own(
    site: Site, open_page: OpenPage
) -> None:
    page = open_page(site)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.split("/api/v1/")[-1]))
    # By itself, so that what it asks for is seen here.
    page.route("**/worker.js*", lambda route: route.abort())
    page.goto(f"{site.page_url}?again#task=done")
    expect_state(page, "completed")
    last = site.logs("done")[-1]["seq"]
    expect(part(page, f"log-{last}")).to_be_visible()
    until(lambda: "stream" in asked, "the stream of all tasks")
    part(page, "task-mixed").click()
    expect(part(page, "task-name")).to_have_text("mixed")
    part(page, "task-done").click()
    expect_state(page, "completed")
    expect(part(page, f"log-{last}")).to_be_visible()
    # Twice shown, each time read once.
    assert asked.count("tasks/done/progress") == 2
    assert len([call for call in asked if call.startswith("tasks/done/logs")]) == 2
    streams = [call for call in asked if "stream" in call]
    assert streams == ["stream"], "one stream of all tasks, which nothing reconnects"
    assert site.open_streams() == [f"{site.server.base_url}api/v1/stream"]


def test_deep_link_shows_the_task_and_the_line(site: Site, open_page: OpenPage) -> None:
    page = open_page(site, "task=done&line=2")
    expect(part(page, "task-name")).to_have_text("done")
    expect(part(page, "log-2")).to_have_attribute("aria-current", "true")
    message = site.logs("done")[1]["message"]
    expect(part(page, "log-detail")).to_contain_text(message)
    part(page, "log-1").click()
    assert page.url.endswith("#task=done&line=1")
    page.goto(f"{site.page_url}#task=mixed")
    expect(part(page, "task-name")).to_have_text("mixed")
    page.go_back()
    expect(part(page, "task-name")).to_have_text("done")
    expect(part(page, "log-1")).to_have_attribute("aria-current", "true")


def test_click_on_a_task_is_not_undone_by_news(site: Site, open_page: OpenPage) -> None:
    page = open_page(site, "task=mixed")
    expect(part(page, "task-name")).to_have_text("mixed")
    # The page changes between the click on the link and the event that tells of the new address.
    page.evaluate(
        """() => {
            const part = (name) => document.querySelector(`[data-testid="${name}"]`);
            part('task-done').click();
            part('log-level-error').click();
        }"""
    )
    expect(part(page, "task-name")).to_have_text("done")
    assert page.url.endswith("#task=done")


def test_failed_table_says_why_in_its_row_and_leads_to_its_line(
    site: Site, open_page: OpenPage
) -> None:
    page = open_page(site, "task=mixed")
    press(page, "start")
    expect_state(page, "failed")
    expect(part(page, "unit-good")).to_have_attribute("data-state", "completed")
    progress = {unit["unit_id"]: unit for unit in site.progress("mixed")["units"]}
    for name in ("bad", "missing"):
        expect(part(page, f"unit-{name}")).to_have_attribute("data-state", "failed")
        error = part(page, f"unit-error-{name}")
        assert progress[name]["error"]
        expect(error).to_contain_text(progress[name]["error"])
        error.get_by_role("button").click()
        [line] = [
            entry["seq"]
            for entry in site.logs("mixed")
            if entry["unit"] == name and entry["level"] == "error"
        ]
        expect(part(page, f"log-{line}")).to_have_attribute("aria-current", "true")
        assert page.url.endswith(f"#task=mixed&line={line}")
    expect(part(page, "run-error")).to_contain_text("2 of 3 tables failed")
    expect(part(page, "task-mixed").locator(".sm-list-far")).to_have_text("2 of 3")


def test_refused_command_says_which_state_forbids_it(site: Site, open_page: OpenPage) -> None:
    page = open_page(site)
    # A page that gets no news does not know that somebody else has started the task.
    for address in ("**/worker.js*", "**/api/v1/stream*"):
        page.route(address, lambda route: route.abort())
    page.goto(f"{site.page_url}?again#task=slow")
    expect_state(page, "idle")
    site.call("POST", "tasks/slow/start")
    press(page, "start")
    refusal = part(page, "refusal")
    expect(refusal).to_contain_text("running")
    expect(part(page, "command-start")).to_have_attribute("aria-disabled", "false")
    refusal.get_by_role("button", name="Dismiss").click()
    expect(refusal).to_have_count(0)
    site.finish("slow")


def test_unknown_task_is_said_and_the_others_stay(site: Site, open_page: OpenPage) -> None:
    page = open_page(site, "task=no-such-task")
    expect(part(page, "select-error")).to_contain_text("no-such-task")
    part(page, "task-done").click()
    expect_state(page, "completed")
    expect(part(page, "select-error")).to_have_count(0)
    page.goto(f"{site.page_url}embed/no-such-task")
    expect(part(page, "select-error")).to_contain_text("no-such-task")


@pytest.mark.parametrize("path", ["", "embed/going"], ids=["page", "panel"])
def test_a_task_that_was_removed_says_so_and_offers_nothing(
    site: Site, open_page: OpenPage, path: str
) -> None:
    spec = {"source": "source", "target": "target", "tables": ["good"]}
    site.call("POST", "tasks", json={"task_id": "going", **spec})
    page = open_page(site, "task=going", path=path)
    expect(part(page, "command-start")).to_be_visible()
    with site.server.client() as client:
        assert client.delete("tasks/going").is_success
    expect(part(page, "select-error")).to_contain_text("Task going was removed.")
    expect(page.locator(".sm-commands")).to_have_count(0)
    expect(part(page, "stream-error")).to_have_count(0)
    picture(page, f"removed-{'panel' if path else 'page'}")
    if not path:
        expect(part(page, "task-going")).to_have_count(0)


def test_broken_configuration_is_said_while_its_last_version_serves(
    site: Site, open_page: OpenPage
) -> None:
    page = open_page(site, "task=done")
    expect_state(page, "completed")
    good = site.config.read_text()
    site.config.write_text(good + "\n[tasks.broken\n")
    try:
        come_back(page)
        error = part(page, "configuration-error")
        expect(error).to_be_visible()
        expect(error).to_contain_text("syncmon.toml")
        expect(part(page, "task-done")).to_be_visible()
    finally:
        site.config.write_text(good)
    come_back(page)
    expect(error).to_have_count(0)
