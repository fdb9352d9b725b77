"""The SSE service: reads what changed in the store once, and fans the bytes out to all clients."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import msgspec

from syncmon_ext.model.errors import StoreUnavailable, SyncmonError
from syncmon_ext.model.state import State
from syncmon_ext.model.task import Task
from syncmon_ext.services import sse_position
from syncmon_ext.services.news import Listing, News, Page
from syncmon_ext.services.progress_text import ProgressText
from syncmon_ext.services.sse_channel import Channel, Feed, Reader, Scope
from syncmon_ext.services.sse_client import Client, Lack, Sink
from syncmon_ext.services.sse_pace import look_seconds, push_seconds
from syncmon_ext.services.sse_round import Round
from syncmon_ext.services.sse_turns import in_turns
from syncmon_ext.services.watch import Watch
from syncmon_ext.store.tasks import TaskPosition

T = TypeVar("T")

FRESH_SECONDS: Final = 0.25  # a client that connects sees nothing older than this
LISTING_SECONDS: Final = 2.0  # between two looks at the list of tasks
NEVER: Final = float("inf")
SLOWEST_RETRY_SECONDS: Final = 5.0  # while the store cannot be read
ANSWERS: Final = 64  # at a time: each goes on in the next round of the loop, for 0.15 ms

_log = logging.getLogger(__name__)


class TaskEvents(msgspec.Struct, frozen=True, kw_only=True):
    """The data of the event ``tasks``; all empty where the configuration broke or was mended."""

    made: list[str]
    changed: list[str]
    removed: list[str]


class Push:
    """When news of a task were sent last, and the seconds that this took of the event loop."""

    __slots__ = ("at", "cost")

    def __init__(self, at: float) -> None:
        self.at = at
        self.cost = 0.0


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """A client's way in: where it starts, or that nothing more will come."""

    channel: Channel
    lacks: dict[str, Lack]
    resumed: bool
    reset: bool  # the client's position is of no use
    over: bool  # the client has seen the end
    listing: bool = False  # the list of tasks changed while the client was away


class TaskSse:
    """The hub of one server. All methods but the reading run on the event loop."""

    def __init__(self, news: News, *, push_interval: float, heartbeat: float) -> None:
        self._news = news
        self.push_interval = push_interval
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="syncmon-news")
        self._channels: dict[Scope, Channel] = {}
        self._feeds: dict[str, Feed] = {}
        self._published: dict[str, ProgressText] = {}
        self._pushed: dict[str, Push] = {}
        self._listing = Listing()
        self._positions: dict[str, TaskPosition] = {}
        self._asked: list[asyncio.Future[None]] = []
        self._loop_task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._changed = True
        self._changed_at = 0.0
        self._listed_at = 0.0
        self._round = Round(self._all_clients, heartbeat)
        self._pages: dict[tuple[str, int, int], asyncio.Future[Page]] = {}
        self._wholes: dict[str, asyncio.Future[bytes]] = {}
        self._reader = Reader(page=self._page, progress=self._whole)
        self._serving: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def _tasks(self) -> dict[str, Task]:
        return self._listing.tasks

    # -- clients -------------------------------------------------------------------------------

    async def subscribe(self, scope: Scope, last_event_id: str | None) -> Subscription:
        """The way into the stream of ``scope``, from ``last_event_id`` on; it must be left.

        Raises StoreUnavailable where the store cannot be read.
        """
        if self._closed:
            raise StoreUnavailable("the server shuts down", hint="come back when it is up again")
        channel = self._channels.get(scope)
        if channel is None:
            channel = Channel(scope, self._news.store_id, self._feeds, self._reader)
            self._channels[scope] = channel
        channel.visitors += 1
        try:
            await self._catch_up()
            return self._subscription(channel, last_event_id)
        except BaseException:
            self._leave(channel)
            raise

    def leave(self, subscription: Subscription) -> None:
        """Give the place back of one who is not served."""
        self._leave(subscription.channel)

    def _leave(self, channel: Channel) -> None:
        channel.visitors -= 1
        if not channel.visitors and self._channels.get(channel.scope) is channel:
            del self._channels[channel.scope]

    def _subscription(self, channel: Channel, last_event_id: str | None) -> Subscription:
        position = sse_position.decode(last_event_id) if last_event_id else None
        lacks = channel.resumed(position) if last_event_id else None
        missed_listing = (
            lacks is not None
            and position is not None
            and channel.scope.tasks is None
            and position.listing != channel.listing
        )
        return Subscription(
            channel=channel,
            lacks=channel.fresh() if lacks is None else lacks,
            resumed=lacks is not None,
            reset=bool(last_event_id) and lacks is None,
            over=bool(position and lacks is not None and channel.at_end(position, lacks)),
            listing=missed_listing,
        )

    def start(self, subscription: Subscription, sink: Sink) -> None:
        """Send a client all there is, until the stream is over or the client is gone."""
        channel = subscription.channel
        client = Client(channel, sink, channel.with_newcomers(subscription.lacks), self)
        client.positioned = subscription.resumed
        client.listing = subscription.listing
        if subscription.reset:
            sink.send(channel.reset(client, "unknown"))
        channel.clients.add(client)
        sink.when_closed(client.close)
        client.wake()

    def bring(self, client: Client) -> None:
        """Bring a client up to date, in a task that ends when it is."""
        task = asyncio.create_task(self._bring(client))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _bring(self, client: Client) -> None:
        over, sink = True, client.sink
        try:
            over = await client.catch_up()
            if over and await sink.drained():
                sink.end()
                await sink.drained()
        except StoreUnavailable:
            pass  # cut off: the client comes back when the store does
        except Exception:
            _log.exception("serving a stream failed")
        finally:
            if over:
                self.part(client)

    def part(self, client: Client) -> None:
        """Forget a client whose stream is over."""
        client.sink.close()
        channel = client.channel
        if client in channel.clients:
            channel.clients.discard(client)
            self._leave(channel)

    @property
    def clients(self) -> int:
        """How many clients are served now."""
        return sum(len(channel.clients) for channel in self._channels.values())

    def dismiss(self, user: str) -> None:
        """End the streams of a user, who has logged out."""
        for client in self._all_clients():
            if client.sink.user() == user:
                client.leave()

    def _all_clients(self) -> list[Client]:
        return [client for channel in self._channels.values() for client in channel.clients]

    async def close(self) -> None:
        """End all streams."""
        self._closed = True

        def end(client: Client) -> None:
            if client.sink.ready():
                client.sink.end()  # whole, so that nobody takes it for a broken line
            client.close()

        await in_turns(self._all_clients(), end)
        if self._loop_task is not None:
            self._loop_task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loop_task
        await self._round.stop()
        for task in list(self._serving):
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        self._refuse(StoreUnavailable("the server shuts down"))
        self._thread.shutdown(wait=False)

    def list_again(self) -> None:
        """The list of tasks was changed by this server: tell the clients without delay."""
        self._listed_at = 0.0
        self._wake.set()

    # -- the one loop --------------------------------------------------------------------------

    async def _catch_up(self) -> None:
        """Wait until the feeds are as new as the store, or nearly."""
        asked = asyncio.get_running_loop().create_future()
        self._asked.append(asked)
        self._wake.set()
        if self._loop_task is None or self._loop_task.done():
            self._loop_task = asyncio.create_task(self._run())
        await asked

    def _told(self) -> None:
        """Something may have changed in the store."""
        self._changed = True
        self._wake.set()

    async def _run(self) -> None:
        """Read and send news while there are clients; nobody watching costs nothing."""
        loop = asyncio.get_running_loop()
        watch = Watch(self._news.changes(), lambda: loop.call_soon_threadsafe(self._told))
        failures = 0
        try:
            while self._channels:
                self._wake.clear()
                asked, self._asked = self._asked, []
                try:
                    wait = await self._send_news(bool(asked))
                    failures = 0
                    await in_turns(asked, _answer, ANSWERS)
                except SyncmonError as error:
                    failures += 1
                    wait = min(0.25 * 2**failures, SLOWEST_RETRY_SECONDS)
                    self._changed = True
                    _log.warning("streams wait for the store: %s", error.message)
                    self._refuse(error, asked)
                except BaseException as error:
                    self._refuse(error, asked)
                    raise
                await self._round.go()
                watch.pause = look_seconds(time.monotonic() - self._changed_at)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), min(wait, self._round.seconds))
        finally:
            watch.stop()
        self._forget(set(self._feeds))

    def _refuse(
        self, error: BaseException, asked: list[asyncio.Future[None]] | None = None
    ) -> None:
        for future in self._asked if asked is None else asked:
            if not future.done():
                future.set_exception(error)

    async def _send_news(self, asked: bool) -> float:
        """Send what is due; the seconds until something else will be, if nothing happens."""
        if asked or self._changed:
            self._changed = False
            positions = await self._read(self._news.positions)
            if positions.keys() != self._positions.keys():
                self._listed_at = 0.0
            if positions != self._positions:
                self._changed_at = time.monotonic()
            self._positions = positions
        now = time.monotonic()
        if asked or now - self._listed_at >= LISTING_SECONDS:
            await self._list()
            self._listed_at = now
        wanted = self._wanted()
        self._forget(set(self._feeds) - wanted)
        next_at = now + LISTING_SECONDS
        for task_id in sorted(wanted):
            due_at = self._due_at(task_id, asked)
            if due_at > now:
                next_at = min(next_at, due_at)
            else:
                await self._publish(task_id)
                next_at = min(next_at, self._due_at(task_id, asked=False))
        return max(0.0, next_at - time.monotonic())

    def _wanted(self) -> set[str]:
        wanted: set[str] = set()
        for scope in self._channels:
            if scope.tasks is None:
                return set(self._tasks)
            wanted |= scope.tasks
            if scope.logs is not None:
                wanted.add(scope.logs)
        return wanted & self._tasks.keys()

    def _forget(self, task_ids: set[str]) -> None:
        for task_id in task_ids:
            self._feeds.pop(task_id, None)
            self._published.pop(task_id, None)
            self._pushed.pop(task_id, None)

    def _due_at(self, task_id: str, asked: bool) -> float:
        """When news of a task are to be sent: never, where there are none."""
        feed = self._feeds.get(task_id)
        if feed is None:
            return 0.0
        position = self._positions.get(task_id)
        published = self._published[task_id].position
        if position is None:
            return NEVER if published is None else 0.0
        if published is None or position.created_at != published.created_at:
            return 0.0
        pushed = self._pushed[task_id]
        if feed.seq < published.log_seq:  # more entries than one event holds
            return pushed.at + push_seconds(0.0, pushed.cost)
        if position.revision <= published.revision:
            return NEVER
        if (position.state or State.IDLE) is not feed.state:
            return 0.0
        interval = push_seconds(self.push_interval, pushed.cost)
        if asked:
            interval = FRESH_SECONDS if self._is_heard(task_id) else 0.0
        return pushed.at + interval

    async def _publish(self, task_id: str) -> None:
        """Read what is new of a task, and hand it to all who hear it."""
        feed = self._feeds.get(task_id)
        before = self._published.get(task_id)
        after: int | None = 0
        if feed is not None:
            after = feed.seq
        elif not self._is_heard(task_id):
            after = None
        news = await self._read(self._news.read, self._tasks[task_id], before, after)
        position = news.progress.position
        log_seq = position.log_seq if position else 0
        feed = feed or Feed(task_id)
        old_seq, old_version = news.seq, feed.version
        # From here on nothing is awaited until all who are behind know it.
        feed.seq = news.seq if news.page is None else news.page.last
        feed.first_seq = position.log_first_seq if position else 1
        feed.key = sse_position.task_key(task_id, position.created_at) if position else ""
        feed.version += 1
        if feed.seq >= log_seq:
            feed.state = news.progress.state  # a stream does not end before its log does
        feed.progress = None if news.progress.partial else news.progress.data
        self._pages = {}
        self._wholes.pop(task_id, None)
        self._feeds[task_id] = feed
        self._published[task_id] = news.progress
        self._pushed[task_id] = push = Push(time.monotonic())
        publications = [
            channel.publication(feed, news.page, news.progress.data, old_seq, old_version)
            for channel in self._channels.values()
            if channel.concerns(task_id)
        ]
        for publication in publications:
            if publication is not None:
                push.cost += await publication.deliver()

    def _is_heard(self, task_id: str) -> bool:
        """Whether there are clients already that hear a task: they lack its log from the start."""
        return any(
            channel.clients and channel.concerns(task_id) for channel in self._channels.values()
        )

    async def _list(self) -> None:
        before, self._listing = self._listing, await self._read(self._news.listing)
        old, tasks = before.tasks, self._tasks
        listing = sse_position.digest(
            [*(repr(tasks[task_id]) for task_id in sorted(tasks)), self._listing.error], 4
        )
        nobody_knew = not any(channel.listing for channel in self._channels.values())
        for channel in self._channels.values():
            channel.listing = listing
        if nobody_knew or before == self._listing:
            return
        events = TaskEvents(
            made=sorted(tasks.keys() - old.keys()),
            changed=sorted(t for t in tasks.keys() & old.keys() if tasks[t] != old[t]),
            removed=sorted(old.keys() - tasks.keys()),
        )
        self._forget(set(events.removed))
        data = msgspec.json.encode(events)
        publications = []
        for channel in self._channels.values():
            if not channel.scope.single:
                publications.append(channel.listing_publication(data))
            elif channel.scope.tasks is not None and channel.scope.tasks <= set(events.removed):
                await in_turns(list(channel.clients), Client.close)
        for publication in publications:
            await publication.deliver()

    # -- reading -------------------------------------------------------------------------------

    async def _read(self, function: Callable[..., T], *arguments: object) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, function, *arguments)

    async def _page(self, task_id: str, after: int, upto: int) -> Page:
        key = (task_id, after, upto)
        if key not in self._pages:
            self._pages[key] = asyncio.ensure_future(self._read(self._news.page, *key))
        return await asyncio.shield(self._pages[key])

    async def _whole(self, feed: Feed) -> bytes:
        if feed.progress is not None:
            return feed.progress
        task_id = feed.task_id
        if task_id not in self._wholes:
            self._wholes[task_id] = asyncio.ensure_future(self._read_whole(feed))
        return await asyncio.shield(self._wholes[task_id])

    async def _read_whole(self, feed: Feed) -> bytes:
        version = feed.version
        data = await self._read(self._news.progress, self._tasks[feed.task_id])
        if feed.version == version:
            feed.progress = data
        return data


def _answer(asked: asyncio.Future[None]) -> None:
    if not asked.done():  # the client may have gone
        asked.set_result(None)
