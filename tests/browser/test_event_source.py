"""A real browser's own EventSource, which knows nothing of syncmon, reads a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from syncmon_ext.model.state import State
from syncmon_ext.store.store import Store
from tests.browser.conftest import OpenPage
from tests.browser.site import Site, until
from tests.simulated import SimulatedRun

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("event-source")]
SAID = ["é 😀 \u2028", 'data: "x" \\n & <b>']
LISTEN = """path => {
    window.seen = [];
    window.opened = window.failed = 0;
    const source = window.source = new EventSource(path);
    source.onopen = () => window.opened++;
    source.onerror = () => window.failed++;
    for (const name of ["progress", "log", "end", "reset", "message"])
        source.addEventListener(name, event =>
            window.seen.push({name, data: event.data, id: event.lastEventId}));
}"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site of its own, for its server is killed."""
    connections = {name: f"sqlite:///{tmp_path / name}.db" for name in ("source", "target")}
    spec = {"source": "source", "target": "target", "tables": ["t"]}
    with Site(tmp_path, connections, {"nightly": spec}, takeover=False) as running:
        yield running


def test_event_source_goes_on_over_a_kill_and_stops_at_the_end(
    site: Site, open_page: OpenPage
) -> None:
    store = Store(site.server.store_url)
    run = SimulatedRun(store, "raw")
    run.write(*SAID)
    page = open_page(site)  # whose own streams this one knows nothing of
    page.evaluate(LISTEN, f"{site.server.base_url}api/v1/tasks/raw/stream")

    def seen() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = page.evaluate("window.seen")
        return found

    def entries() -> list[dict[str, Any]]:
        return [e for event in seen() if event["name"] == "log" for e in json.loads(event["data"])]

    until(lambda: len(entries()) == 2, "the log so far")
    assert [entry["message"] for entry in entries()] == SAID
    site.server.kill()
    until(lambda: page.evaluate("window.failed") > 0, "the browser sees that the stream is gone")
    run.write("while nobody served")
    site.server.start()
    until(lambda: len(entries()) == 3, "what was missed", 60)
    run.write("again live")
    until(lambda: len(entries()) == 4, "the stream is live")
    run.become(State.COMPLETED, "done")
    until(lambda: page.evaluate("window.source.readyState") == 2, "204: it does not come back", 60)
    events = seen()
    assert [entry["seq"] for entry in entries()] == [1, 2, 3, 4, 5], "a gap or a repeat"
    assert page.evaluate("window.opened") == 2
    assert not {"reset", "message"} & {event["name"] for event in events}
    logs = [event for event in events if event["name"] == "log"]
    assert all(event["id"] for event in logs)
    assert len({event["id"] for event in logs}) == len(logs), "each has a position of its own"
    assert events[-1]["name"] == "end"
    assert json.loads(events[-1]["data"])["state"] == "completed"
    assert [event["name"] for event in events].count("end") == 1
    store.close()
