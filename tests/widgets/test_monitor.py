"""The monitor's traits, what the relay reads and sends, and what the kernel answers."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from syncmon_ext.model.errors import InvalidRequest, StoreUnavailable, TaskNotFound
from syncmon_ext.model.state import State
from syncmon_ext.store.store import Store
from syncmon_widgets import monitor as monitors
from syncmon_widgets.kernel_answers import answer
from syncmon_widgets.loop import track
from syncmon_widgets.monitor import Monitor, NotBuilt
from syncmon_widgets.relay import (
    ALIVE_SECONDS,
    FAST_SECONDS,
    REST_SECONDS,
    STEADY_SECONDS,
    TAIL_ENTRIES,
    Changes,
    News,
    Relay,
    pause_after,
)
from syncmon_widgets.session import Session
from tests.browser.long_log import NEEDLE, make_log
from tests.widgets.conftest import until

LONG = 3_000  # entries: more than one answer holds


@pytest.fixture(autouse=True)
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a build makes, so that these tests need none."""
    path = tmp_path / "widget.js"
    path.write_text("export default {}")
    monkeypatch.setattr(monitors, "SCRIPT", path)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What monitors send to their displays."""
    messages: list[dict[str, Any]] = []
    monkeypatch.setattr(Monitor, "send", lambda self, message: messages.append(message))
    return messages


def tracked(name: str, rows: int, *messages: str) -> None:
    """A loop that is over."""
    with track(name, total=rows) as loop:
        for message in messages:
            loop.log(message)
        loop.update(rows)


def test_traits_follow_the_selected_task(session: Session) -> None:
    with track("cleaning", total=10) as loop:
        until(lambda: [task.task_id for task in session.tasks()])
        monitor = session.task("cleaning").monitor()
        assert monitor.state == "running"
        seen: list[str] = []
        monitor.observe(lambda change: seen.append(change["new"]), "state")
        loop.update(4)
        until(lambda: monitor.progress["rows_committed"] == 4)
    until(lambda: monitor.state == "completed")
    until(lambda: monitor.logs)
    assert seen == ["completed"]
    assert [entry["seq"] for entry in monitor.logs] == list(range(1, len(monitor.logs) + 1))
    assert monitor.states == {"cleaning": "completed"}
    monitor.close()


def test_traits_follow_another_selection(session: Session) -> None:
    tracked("one", 1)
    tracked("two", 2)
    until(lambda: len(session.tasks()) == 2)
    monitor = session.monitor()
    assert set(monitor.states) == {"one", "two"}
    for name, rows in (("two", 2), ("one", 1)):
        monitor.selected = name
        until(lambda n=name: monitor.progress.get("task_id") == n)  # type: ignore[misc]
        assert monitor.progress["rows_total"] == rows
    monitor.close()


def test_ten_monitors_share_one_thread_which_ends_with_them(session: Session) -> None:
    tracked("one", 1)
    until(session.tasks)
    widgets = [session.task("one").monitor() for _ in range(10)]

    def relays() -> list[threading.Thread]:
        return [t for t in threading.enumerate() if t.name == "syncmon-relay"]

    assert len(relays()) == 1
    for widget in widgets:
        widget.close()
    until(lambda: not relays())


def test_a_closed_session_ends_the_thread(session: Session) -> None:
    tracked("one", 1)
    until(session.tasks)
    monitor = session.monitor()
    monitor.close()
    until(lambda: not [t for t in threading.enumerate() if t.name == "syncmon-relay"])


def test_monitor_refuses_what_it_cannot_show(session: Session, script: None) -> None:
    with pytest.raises(InvalidRequest, match="no task"):
        Monitor([], backend=session.backend)
    with pytest.raises(TaskNotFound):
        Monitor(["nothing"], backend=session.backend)
    monitors.SCRIPT.unlink()
    with pytest.raises(NotBuilt, match="not built"):
        Monitor(backend=session.backend)


def test_monitor_is_exported_as_a_task_is(session: Session) -> None:
    for name in ("one", "two"):
        tracked(name, 3)
        until(lambda n=name: session.tasks() and session.task(n).state is State.COMPLETED)  # type: ignore[misc]
    task = session.task("one")
    single, both, everything = task.monitor(), Monitor([task, "two"]), session.monitor()
    shown = _bundle(single)
    assert shown["text/plain"] == task._repr_mimebundle_()["text/plain"]
    assert "● Running" not in shown["text/plain"]
    assert "✓ Completed  one" in shown["text/plain"]
    assert "<strong>one</strong>" in shown["text/html"]
    assert "as of " in shown["text/html"]
    assert "<script" not in shown["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in shown
    for several in (both, everything):
        assert len(_bundle(several)["text/plain"].splitlines()) == 2
        assert "<table" in _bundle(several)["text/html"]
    task.delete()
    assert _bundle(single)["text/plain"].startswith("there is no task 'one'")
    for monitor in (single, both, everything):
        monitor.close()


def _bundle(monitor: Monitor) -> dict[str, Any]:
    bundle = monitor._repr_mimebundle_()
    found: dict[str, Any] = bundle[0] if isinstance(bundle, tuple) else bundle
    return found


def test_the_logger_of_widgets_stays_what_it_is(session: Session) -> None:
    monitor = session.monitor()
    assert monitor.log.warning
    assert "log" not in vars(Monitor)
    monitor.close()


def test_display_is_relayed_to_until_it_says_otherwise(
    session: Session, sent: list[dict[str, Any]]
) -> None:
    tracked("one", 1, "read", "written")
    until(session.tasks)
    monitor = session.task("one").monitor()
    until(lambda: any(message["progress"] for message in sent))
    monitor._hear(monitor, {"type": "direct"}, [])
    assert not monitor.displayed
    sent.clear()
    monitor._hear(monitor, {"type": "hello"}, [])
    until(lambda: any(message["progress"] and message["logs"] for message in sent))
    sent.clear()
    request = {"type": "request", "id": "7", "method": "GET", "path": "tasks/one", "body": None}
    monitor._hear(monitor, request, [])
    until(lambda: any(message["type"] == "answer" for message in sent))
    [answered] = [message for message in sent if message["type"] == "answer"]
    assert (answered["id"], answered["status"]) == ("7", 200)
    assert json.loads(answered["body"])["task_id"] == "one"
    monitor.close()


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("version", "hearing"),
    [((6, 31, 0), "ipykernel 7 in JupyterLab 4.4 or newer"), ((7, 0, 0), ""), (None, "")],
)
def test_display_is_told_which_kernel_would_hear_it_while_a_cell_runs(
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
    version: tuple[int, ...] | None,
    hearing: str,
) -> None:
    if version is None:  # a kernel of another kind
        monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    else:
        monkeypatch.setitem(sys.modules, "ipykernel", SimpleNamespace(version_info=version))
    monitor = session.monitor()
    assert monitor._hearing == hearing
    monitor.close()


def test_changes_are_sent_once_and_silence_is_bounded(session: Session) -> None:
    tracked("one", 1, "a", "b")
    until(session.tasks)
    news = Relay(session.backend).read([Wanted("one")])
    changes, clock = Changes(), Clock()
    first = changes.message(news, clock)
    assert first is not None
    assert [p["task_id"] for p in first["progress"]] == ["one"]
    assert [entry["seq"] for entry in first["logs"]] == [e.seq for e in news.logs["one"]]
    assert first["tasks"]
    clock.now = ALIVE_SECONDS - 0.1
    assert changes.message(news, clock) is None
    clock.now = ALIVE_SECONDS
    alive = changes.message(news, clock)
    assert alive == {"type": "news", "progress": [], "logs": [], "tasks": False, "error": None}
    broken = changes.message(News(error="no server"), clock)
    assert broken is not None
    assert broken["error"] == "no server"
    again = changes.message(news, clock)
    assert again is not None  # it is well again, and that is news
    assert again["error"] is None
    changes.forget()
    assert changes.message(news, clock) == first


class Wanted:
    """A listener that wants one task."""

    displayed = True

    def __init__(self, name: str) -> None:
        self.scope, self.chosen = (name,), name

    def take(self, news: News) -> None:
        raise AssertionError(news)


def test_relay_says_why_it_knows_nothing(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(task_id: str) -> None:
        raise StoreUnavailable("the store is away")

    monkeypatch.setattr(session.backend, "progress", broken)
    assert Relay(session.backend).read([Wanted("one")]).error == "the store is away"


def test_task_that_is_gone_keeps_no_news_of_others_back(session: Session) -> None:
    tracked("one", 1)
    until(session.tasks)
    relay = Relay(session.backend)
    news = relay.read([Wanted("gone"), Wanted("one")])
    assert (set(news.progress), news.error) == ({"one"}, None)
    alone = relay.read([Wanted("gone")]).error
    assert alone is not None
    assert "gone" in alone


def test_a_log_is_read_on_from_where_it_was(session: Session) -> None:
    relay, wanted = Relay(session.backend), Wanted("long")
    with track("long", total=9) as loop:
        until(session.tasks)
        for number in range(TAIL_ENTRIES + 30):
            loop.log(f"line {number}")
            if number == 10:
                until(lambda: len(relay.read([wanted]).logs["long"]) >= 10)
    until(lambda: session.task("long").state == "completed")
    tail = relay.read([wanted]).logs["long"]
    assert len(tail) == TAIL_ENTRIES
    assert [entry.seq for entry in tail] == list(range(tail[0].seq, tail[0].seq + TAIL_ENTRIES))
    everything = session.task("long").logs(limit=None)
    assert tail[-1].seq == everything["seq"].max()


def test_reading_rests_while_nothing_moves(session: Session) -> None:
    tracked("one", 1)
    until(lambda: session.tasks() and session.task("one").state is State.COMPLETED)
    still = Relay(session.backend).read([Wanted("one")])
    assert pause_after(still, displayed=True) == REST_SECONDS
    with track("two", total=2):
        until(lambda: len(session.tasks()) == 2)
        moving = Relay(session.backend).read([Wanted("two")])
        assert pause_after(moving, displayed=True) == FAST_SECONDS
        assert pause_after(moving, displayed=False) == STEADY_SECONDS
    assert FAST_SECONDS >= 0.25  # four a second at most


def test_kernel_answers_as_the_server_does(session: Session) -> None:
    tracked("a b/c", 3, "one", "two", "three")
    until(session.tasks)
    task_id = session.tasks()[0].task_id
    until(lambda: session.task(task_id).state is State.COMPLETED)

    def ask(path: str, method: str = "GET", body: Any = None) -> tuple[int, Any]:
        status, text = answer(session.backend, method, path, body, "key")
        return status, json.loads(text)

    assert ask("tasks")[1]["tasks"][0]["task_id"] == task_id
    assert ask(f"tasks/{task_id}/progress")[1]["state"] == "completed"
    assert len(ask(f"tasks/{task_id}/runs")[1]["runs"]) == 1
    run = ask(f"tasks/{task_id}/runs")[1]["runs"][0]["run_id"]
    samples = ask(f"tasks/{task_id}/history?run={run}")[1]["samples"]
    assert {sample["run_id"] for sample in samples} <= {run}
    seqs = [entry["seq"] for entry in ask(f"tasks/{task_id}/logs?limit=3")[1]["logs"]]
    assert len(seqs) == 3
    older = ask(f"tasks/{task_id}/logs?limit=1&before={seqs[0]}")[1]["logs"]
    assert [entry["seq"] for entry in older] == [seqs[0] - 1]
    found = ask(f"tasks/{task_id}/logs?limit=9&q=THREE")[1]["logs"]
    assert [entry["message"] for entry in found] == ["three"]


def test_kernel_relays_any_part_of_a_long_log(session: Session, store_url: str) -> None:
    store = Store(store_url)
    make_log(store, "long", LONG)
    store.close()

    def seqs(query: str) -> list[int]:
        _, text = answer(session.backend, "GET", f"tasks/long/logs?limit=200&{query}", None, "key")
        return [entry["seq"] for entry in json.loads(text)["logs"]]

    assert seqs("") == [*range(LONG - 199, LONG + 1)]
    assert seqs("before=1500") == [*range(1_300, 1_500)]
    assert seqs("before=150") == [*range(1, 150)]
    assert seqs("after=0") == [*range(1, 201)]
    assert seqs("after=1500") == [*range(1_501, 1_701)]
    assert seqs("before=2100&level=warning") == [500, 1_000, 1_500, 2_000]
    assert seqs("before=1900&q=NEEDLE") == [NEEDLE]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "tasks/nothing", 404, "task_not_found"),
        ("POST", "tasks/nothing/pause", 404, "task_not_found"),
        ("GET", "tasks/one/logs", 400, "invalid_request"),
        ("DELETE", "tasks/one", 400, "invalid_request"),
        ("GET", "../../api/contents", 400, "invalid_request"),
    ],
)
def test_kernel_refuses_in_the_servers_words(
    session: Session, method: str, path: str, status: int, code: str
) -> None:
    given, text = answer(session.backend, method, path, None, "key")
    said = json.loads(text)["error"]
    assert (given, said["code"]) == (status, code)
    assert said["message"]
