from __future__ import annotations

from datetime import UTC, datetime
from html.parser import HTMLParser

import msgspec
import pytest

from syncmon_ext.model.state import State, UnitState
from syncmon_ext.model.task import Kind, Task, TaskSpec
from syncmon_ext.model.view import TaskView
from syncmon_ext.store.snapshots import idle_progress
from syncmon_widgets.panel import panel_html, panel_text, task_list_html

HOSTILE = """</script><img src=x onerror=alert(1)>"'&"""
URL = "http://127.0.0.1:8888/syncmon/#task=nightly"


class Elements(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words: list[str] = []
        self.attributes: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def view(tables: int = 2, name: str = "nightly", **values: object) -> TaskView:
    spec = TaskSpec(source="flights", target="warehouse", tables=[f"t{n}" for n in range(tables)])
    progress = idle_progress(Task(task_id="nightly", spec=spec, name=name))
    units = [
        msgspec.structs.replace(
            unit,
            state=UnitState.FAILED,
            error=name,
            rows_committed=5,
            rows_total=10,
            progress=50.0,
            started_at=datetime(2026, 11, 24, tzinfo=UTC),
        )
        for unit in progress.units
    ]
    progress = msgspec.structs.replace(
        progress,
        **{
            "state": State.RUNNING,
            "run_id": "r",
            "rows_total": 336_776,
            "rows_committed": 212_340,
            "overall_progress": 63.05,
            "speed": 41_234.0,
            "eta_low_seconds": 110.0,
            "eta_high_seconds": 230.0,
            "units": units,
            **values,
        },
    )
    return TaskView(
        task_id="nightly",
        kind=Kind.COPY,
        name=name,
        origin="store",
        read_only=False,
        spec=spec,
        state=progress.state,
        progress=progress,
    )


def test_static_table_and_script() -> None:
    html = panel_html(view(), url=URL, live=True)
    found = Elements(html)
    assert found.tags.count("script") == 1
    assert "iframe" not in found.tags, "only the script makes one"
    text = " ".join(found.words)
    assert "212,340 of 336,776 rows" in text
    assert "41.2 k rows/s" in text
    assert "jupyter-config-data" in text
    assert html.index("</table>") < html.index("<script>"), "the table stands without scripts"


def test_static_tables_say_when_they_were_true() -> None:
    at = datetime(2026, 11, 24, 9, 5, 7, tzinfo=UTC)
    for html in (
        panel_html(view(), url=URL, live=True, at=at),
        task_list_html([view()], at=at),
    ):
        assert "as of 24 Nov 2026, 09:05:07 UTC" in Elements(html).words
    assert f"as of {datetime.now(UTC):%d %b %Y}" in panel_html(view(), url=None, live=False)


def test_stall_is_seen_at_once() -> None:
    stalled = view(stalled_seconds=75.0, speed=0.0, waiting_for="warehouse")
    assert panel_text(stalled).startswith("! Stalled  nightly  63 %")
    assert "! Stalled" in Elements(task_list_html([stalled])).words
    text = " ".join(Elements(panel_html(stalled, url=URL, live=True)).words)
    assert "! Stalled" in text
    assert "stalled for 1 min 15 s, waiting for warehouse" in text


def test_table_that_has_not_begun_does_not_wait_in_an_ended_run() -> None:
    units = [
        msgspec.structs.replace(unit, state=UnitState.PENDING) for unit in view().progress.units
    ]
    for state, word in ((State.RUNNING, "○ Waiting"), (State.FAILED, "○ Not begun")):
        html = panel_html(view(state=state, units=units), url=None, live=False)
        assert Elements(html).words.count(word) == 2


def test_without_server_there_is_no_script() -> None:
    found = Elements(panel_html(view(), url=None, live=False))
    assert "script" not in found.tags
    assert "a" not in found.tags


def test_hostile_names_and_errors_are_text() -> None:
    html = panel_html(view(name=HOSTILE, error=HOSTILE), url=URL, live=True)
    found = Elements(html)
    assert "img" not in found.tags
    assert "onerror" not in found.attributes
    assert found.tags.count("script") == 1
    assert HOSTILE in "".join(found.words)
    assert "img" not in Elements(task_list_html([view(name=HOSTILE)])).tags


def test_many_tables_are_cut() -> None:
    html = panel_html(view(tables=200), url=URL, live=True)
    assert "and 180 more tables" in html
    assert len(html) < 30_000
    assert panel_text(view(tables=200)).endswith("… and 180 more tables")


def test_text() -> None:
    lines = panel_text(view()).splitlines()
    assert lines[0] == "● Running  nightly  63 %  212,340 of 336,776 rows"
    assert lines[1].startswith("█" * 18 + "░")
    assert lines[2] == "41.2 k rows/s  ·  1–4 min left"
    assert lines[3].startswith("  ✕ t0")


@pytest.mark.parametrize("state", list(State))
def test_every_state_can_be_shown(state: State) -> None:
    assert panel_text(view(state=state))
    assert panel_html(view(state=state), url=URL, live=True)
    assert task_list_html([view(state=state)])


def test_no_tasks_teach() -> None:
    assert "sm.create_task" in task_list_html([])
