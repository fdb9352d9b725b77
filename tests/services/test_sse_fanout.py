from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import event

from syncmon_ext.model.errors import StoreUnavailable
from syncmon_ext.model.state import State
from syncmon_ext.services import news as news_module
from syncmon_ext.services import progress_text as progress_text_module
from syncmon_ext.services import sse_client, task_sse
from syncmon_ext.services.catalog import Catalog
from syncmon_ext.services.configuration import Configuration
from syncmon_ext.services.news import News
from syncmon_ext.services.progress_text import ProgressTexts
from syncmon_ext.services.sse_channel import Scope
from syncmon_ext.services.sse_event import Frame
from syncmon_ext.services.task_sse import TaskSse
from syncmon_ext.store.store import Store
from tests.simulated import SimulatedRun

ALL = Scope(tasks=None)


class FakeSink:
    """A client in memory: takes everything, or nothing while it is deaf."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.deaf = False
        self.closed = self.ended = False
        self.hears = asyncio.Event()
        self.hears.set()
        self.over = asyncio.Event()
        self.hang_up: Callable[[], None] = lambda: None

    def ready(self) -> bool:
        return self.hears.is_set() and not self.closed

    def send(self, frame: Frame) -> None:
        assert self.ready(), "nothing may pile up"
        self.frames.append(frame)
        if self.deaf:
            self.hears.clear()

    def user(self) -> str:
        return "someone"

    async def allowed(self) -> bool:
        return True

    def end(self) -> None:
        self.ended = True

    async def drained(self) -> bool:
        await self.hears.wait()
        return not self.closed

    def close(self) -> None:
        self.closed = True
        self.hears.set()
        self.over.set()

    def when_closed(self, callback: Callable[[], None]) -> None:
        self.hang_up = callback

    @property
    def text(self) -> str:
        return b"".join(frame.data for frame in self.frames).decode()

    def seqs(self) -> list[int]:
        found: list[int] = []
        for line in self.text.splitlines():
            if line.startswith("data: ["):
                found += [entry["seq"] for entry in msgspec.json.decode(line[6:])]
        return found


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.005)


def is_at(sink: FakeSink, seq: int) -> bool:
    return sink.seqs()[-1:] == [seq]


def make_hub(store: Store, **options: Any) -> TaskSse:
    catalog = Catalog(store, Configuration("/nowhere/syncmon.toml"))
    settings = {"push_interval": 0.05, "heartbeat": 15.0, **options}
    return TaskSse(News(store, catalog, ProgressTexts()), **settings)


async def attach(hub: TaskSse, scope: Scope, sink: FakeSink, last_id: str | None = None) -> None:
    hub.start(await hub.subscribe(scope, last_id), sink)
    try:
        await sink.over.wait()
    finally:
        sink.hang_up()


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        await asyncio.wait_for(test(), 60)  # type: ignore[arg-type]

    asyncio.run(limited())


def test_each_change_is_encoded_once_for_all_clients(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulated = SimulatedRun(store, "one")
    encoded: list[str] = []
    for module in (news_module, progress_text_module):
        encode = module._encode
        monkeypatch.setattr(
            module,
            "_encode",
            lambda value, encode=encode: encoded.append(type(value).__name__) or encode(value),
        )

    async def test() -> None:
        hub = make_hub(store)
        sinks = [FakeSink() for _ in range(100)]
        clients = [asyncio.create_task(attach(hub, ALL, sink)) for sink in sinks]
        await until(lambda: hub.clients == 100 and all("event: log" in s.text for s in sinks))
        for sink in sinks:
            sink.frames.clear()
        encoded.clear()
        simulated.write("a", "b")
        await until(lambda: all(sink.seqs() == [1, 2] for sink in sinks))
        assert encoded == ["Progress", "LogEntry", "LogEntry"]
        assert all(sink.frames[0] is sinks[0].frames[0] for sink in sinks), "the same bytes"
        await hub.close()
        await asyncio.gather(*clients)

    run(test)


def read_for(store: Store, run: SimulatedRun, count: int, pushes: int) -> list[str]:
    """The statements with which a hub reads ``store`` for some pushes to ``count`` clients."""
    statements: list[str] = []

    def note(*arguments: Any) -> None:
        statements.append(arguments[2])

    async def test() -> None:
        hub = make_hub(store)
        sinks = [FakeSink() for _ in range(count)]
        clients = [asyncio.create_task(attach(hub, ALL, sink)) for sink in sinks]

        async def push() -> None:
            seq = run.write("news")
            await until(lambda: all(is_at(sink, seq) for sink in sinks))

        await until(lambda: all("event: log" in sink.text for sink in sinks))
        await push()  # what is read for newcomers is read by now
        event.listen(store.engine, "before_cursor_execute", note)
        for _ in range(pushes):
            await push()
        event.remove(store.engine, "before_cursor_execute", note)
        await hub.close()
        await asyncio.gather(*clients)

    asyncio.run(asyncio.wait_for(test(), 60))
    return statements


def test_store_is_read_as_often_for_fifty_clients_as_for_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_sse, "LISTING_SECONDS", 3_600.0)  # a read of its own, by the clock
    writer = Store(str(store.url))  # its statements are not counted
    simulated = SimulatedRun(writer, "one")
    for_one, for_fifty = (read_for(store, simulated, count, pushes=5) for count in (1, 50))
    writer.close()
    assert len(for_one) >= 5
    assert for_fifty == for_one


def test_client_that_stops_reading_costs_one_number_and_catches_up(store: Store) -> None:
    simulated = SimulatedRun(store, "one")

    async def test() -> None:
        hub = make_hub(store)
        slow, fast = FakeSink(), FakeSink()
        clients = [asyncio.create_task(attach(hub, ALL, sink)) for sink in (slow, fast)]
        await until(lambda: all("event: log" in sink.text for sink in (slow, fast)))
        slow.deaf = True
        for _ in range(30):
            total = simulated.write(*("x" for _ in range(100)))
            await until(partial(is_at, fast, total))
        assert len(slow.frames) < 10
        (channel,) = hub._channels.values()
        behind = next(client for client in channel.clients if client.sink is slow)
        assert list(behind.lacks) == ["one"]
        slow.deaf = False
        slow.hears.set()
        await until(partial(is_at, slow, total))
        assert slow.seqs() == fast.seqs() == list(range(1, total + 1))
        await until(lambda: behind.live)
        await hub.close()
        await asyncio.gather(*clients)

    run(test)


def test_blocked_client_is_closed_in_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse_client, "BLOCKED_SECONDS", 0.3)
    simulated = SimulatedRun(store, "one")

    async def test() -> None:
        hub = make_hub(store, heartbeat=0.1)
        sink = FakeSink()
        client = asyncio.create_task(attach(hub, ALL, sink))
        await until(lambda: "event: log" in sink.text)
        sink.deaf = True
        simulated.write("a")
        await until(lambda: sink.closed, 3)
        await client
        assert hub.clients == 0
        await hub.close()

    run(test)


def test_nobody_watching_costs_nothing(store: Store) -> None:
    SimulatedRun(store, "one")

    async def test() -> None:
        hub = make_hub(store)
        sink = FakeSink()
        client = asyncio.create_task(attach(hub, ALL, sink))
        await until(lambda: "event: log" in sink.text)
        looking = hub._loop_task
        assert looking is not None
        client.cancel()
        await until(looking.done)
        assert not hub._channels
        assert not hub._feeds
        await hub.close()

    run(test)


def test_new_task_is_sent_from_its_first_entry(store: Store) -> None:
    async def test() -> None:
        hub = make_hub(store)
        sink = FakeSink()
        client = asyncio.create_task(attach(hub, ALL, sink))
        await until(lambda: "event: log" in sink.text)
        simulated = SimulatedRun(store, "new")
        simulated.write(*("x" for _ in range(100)))
        await until(lambda: len(sink.seqs()) == 100)
        assert sink.seqs() == list(range(1, 101))
        assert '"made":["new"]' in sink.text
        await hub.close()
        await client

    run(test)


def test_streams_wait_for_a_store_that_is_locked(tmp_path: Path, store: Store) -> None:
    simulated = SimulatedRun(store, "one")

    async def test() -> None:
        hub = make_hub(store)
        sink = FakeSink()
        client = asyncio.create_task(attach(hub, ALL, sink))
        await until(lambda: "event: log" in sink.text)
        positions = hub._news.positions

        def broken() -> None:
            raise StoreUnavailable("gone")

        hub._news.positions = broken  # type: ignore[assignment]
        simulated.write("while away")
        await asyncio.sleep(0.2)
        assert sink.seqs() == []
        hub._news.positions = positions
        await until(lambda: sink.seqs() == [1])
        await hub.close()
        await client

    run(test)


def test_close_ends_all_streams_within_a_second(store: Store) -> None:
    SimulatedRun(store, "one").become(State.PAUSED)

    async def test() -> None:
        hub = make_hub(store, push_interval=30.0)
        sinks = [FakeSink() for _ in range(50)]
        clients = [asyncio.create_task(attach(hub, ALL, sink)) for sink in sinks]
        await until(lambda: hub.clients == 50)
        began = time.monotonic()
        await hub.close()
        await asyncio.gather(*clients)
        assert time.monotonic() - began < 1

    run(test)


def test_clients_that_left_leave_no_task_and_no_thread(store: Store) -> None:
    SimulatedRun(store, "one")

    async def test() -> None:
        hub = make_hub(store)
        before = len(asyncio.all_tasks())
        sinks = [FakeSink() for _ in range(200)]
        clients = [asyncio.create_task(attach(hub, ALL, sink)) for sink in sinks]
        await until(lambda: all("event: log" in sink.text for sink in sinks))
        attached = len(asyncio.all_tasks())
        assert attached - before < len(clients) + 10, "live clients need no task of their own"
        for client in clients:
            client.cancel()
        await until(lambda: len(asyncio.all_tasks()) <= before)
        await until(lambda: "syncmon-news-watch" not in {t.name for t in threading.enumerate()})
        assert hub.clients == 0
        await hub.close()

    run(test)


def test_stay_that_is_over_ends_after_what_is_lacking(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse_client, "STAY_SECONDS", (0.3, 0.4))
    simulated = SimulatedRun(store, "one")

    async def test() -> None:
        hub = make_hub(store, heartbeat=0.05)
        slow, gone = FakeSink(), FakeSink()
        clients = [asyncio.create_task(attach(hub, ALL, sink)) for sink in (slow, gone)]
        await until(lambda: all("event: log" in sink.text for sink in (slow, gone)))
        slow.deaf = True
        simulated.write("one")
        await clients[1]
        simulated.write("two")
        await until(lambda: hub._feeds["one"].seq == 2)
        assert not clients[0].done(), "it has not been told all"
        slow.deaf = False
        slow.hears.set()
        await clients[0]
        assert slow.seqs() == [1, 2]
        assert slow.ended
        await hub.close()

    run(test)
