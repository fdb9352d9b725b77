"""A channel: all clients that asked for the same, who get the same bytes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from syncmon_ext.model.state import ENDED, State
from syncmon_ext.services import sse_event, sse_position
from syncmon_ext.services.news import Page
from syncmon_ext.services.sse_client import Client, Lack
from syncmon_ext.services.sse_event import Frame
from syncmon_ext.services.sse_position import Position
from syncmon_ext.services.sse_turns import in_turns

LATEST_ENTRIES: Final = 50  # of a task, at connect
LATEST_TOTAL: Final = 1_000  # of all tasks together
WAKES: Final = 100  # clients of one turn that begin to say good-bye: some 50 µs each
NO_NAMES: Final = b'{"made":[],"changed":[],"removed":[]}'  # the list changed while nobody looked


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What a stream was asked for: the progress of tasks (None: all) and logs (None: of the same)."""

    tasks: frozenset[str] | None
    logs: str | None = None
    single: bool = False  # the stream of one task, which ends

    @property
    def digest(self) -> str:
        """A few characters that stand for the scope in a position."""
        names = ["*"] if self.tasks is None else sorted(self.tasks)
        return sse_position.digest([str(self.single), self.logs or "", *names], 4)

    def hears(self, task_id: str) -> bool:
        """Whether the task's progress is sent."""
        return self.tasks is None or task_id in self.tasks

    def hears_log(self, task_id: str) -> bool:
        """Whether the task's log is sent."""
        return self.hears(task_id) if self.logs is None else task_id == self.logs


class Feed:
    """What was published of a task; all clients are at this point, or on the way to it."""

    __slots__ = ("first_seq", "key", "progress", "seq", "state", "task_id", "version")

    def __init__(self, task_id: str) -> None:
        self.task_id = task_id
        self.key = ""  # in positions; empty while the task has no log
        self.seq = 0
        self.first_seq = 1
        self.version = 0  # grows with each progress that is published
        self.state = State.IDLE
        self.progress: bytes | None = None  # all units, as JSON; None: it must be read


class Reader(msgspec.Struct, frozen=True):
    """How channels read on behalf of a client that is behind; equal requests are answered once."""

    page: Callable[[str, int, int], Awaitable[Page]]  # task_id, after, upto
    progress: Callable[[Feed], Awaitable[bytes]]


class Channel:
    """The clients of one scope, over the feeds that exist for it."""

    def __init__(
        self, scope: Scope, store_id: str, feeds: Mapping[str, Feed], reader: Reader
    ) -> None:
        self.scope: Final = scope
        self.clients: Final[set[Client]] = set()
        self.visitors = 0  # clients, and those on their way in or out
        self.listing = ""  # stands for the list of tasks, in positions
        self._store_id = store_id
        self._feeds = feeds
        self._reader = reader
        self._digest: Final = scope.digest
        self._end: tuple[int, Frame] | None = None

    @property
    def feeds(self) -> list[Feed]:
        """The feeds that are heard here: of these the progress, the log or both are sent."""
        if self.scope.tasks is None:
            return list(self._feeds.values())
        names = (
            self.scope.tasks if self.scope.logs is None else self.scope.tasks | {self.scope.logs}
        )
        return [self._feeds[name] for name in sorted(names) if name in self._feeds]

    def concerns(self, task_id: str) -> bool:
        """Whether anything of the task is sent here."""
        return self.scope.hears(task_id) or self.scope.hears_log(task_id)

    @property
    def over(self) -> bool:
        """Whether the stream ends here: one task, whose run has ended."""
        return self.scope.single and all(feed.state in ENDED for feed in self.feeds)

    # -- positions -----------------------------------------------------------------------------

    def position(self, lacks: Mapping[str, Lack], over: bool = False) -> str:
        """The ``id:`` of a client that has everything but what it ``lacks``."""
        seqs = {}
        for feed in self.feeds:
            if feed.key and self.scope.hears_log(feed.task_id):
                lack = lacks.get(feed.task_id)
                seqs[feed.key] = feed.seq if lack is None else lack.seq
        return sse_position.encode(
            Position(
                store=self._store_id[:12],
                scope=self._digest,
                listing=self.listing if self.scope.tasks is None else "----",
                seqs=seqs,
                over=over,
            )
        )

    def fresh(self) -> dict[str, Lack]:
        """What a new client lacks: all progress and the latest entries."""
        feeds = self.feeds
        latest = max(1, min(LATEST_ENTRIES, LATEST_TOTAL // max(1, len(feeds))))
        return {f.task_id: Lack(max(f.first_seq - 1, f.seq - latest)) for f in feeds}

    def resumed(self, position: Position | None) -> dict[str, Lack] | None:
        """What a client lacks that comes back with ``position``; None where it must start afresh."""
        if position is None or position.store != self._store_id[:12]:
            return None
        if position.scope != self._digest:
            return None
        lacks = {}
        unknown = dict(position.seqs)
        for feed in self.feeds:
            seq = feed.seq
            if self.scope.hears_log(feed.task_id):
                seq = unknown.pop(feed.key, 0) if feed.key else 0
                if seq > feed.seq or seq < feed.first_seq - 1:  # of the future, or pruned
                    return None
            lacks[feed.task_id] = Lack(seq)
        return None if unknown else lacks

    def with_newcomers(self, lacks: Mapping[str, Lack]) -> dict[str, Lack]:
        """``lacks``, and all of the tasks that have come since they were determined."""
        return {f.task_id: lacks.get(f.task_id) or Lack(f.first_seq - 1) for f in self.feeds}

    def at_end(self, position: Position, lacks: Mapping[str, Lack]) -> bool:
        """Whether a client that comes back has seen the end of this stream."""
        complete = all(lack.seq == self._feeds[task].seq for task, lack in lacks.items())
        return self.over and position.over and complete

    # -- frames --------------------------------------------------------------------------------

    def publication(
        self, feed: Feed, page: Page | None, progress: bytes, seq: int, version: int
    ) -> Publication | None:
        """What is new of a task, for all clients: bytes that are made once, yet to be delivered.

        ``seq`` and ``version`` are the feed's before the news. Call it for all channels before
        anything is awaited: clients that are behind are told here, so that none of them is given a
        position that it has not reached.
        """
        if not self.clients:
            return None
        over = self.over
        data = b""
        if self.scope.hears(feed.task_id):
            data += sse_event.event("progress", progress)
        if page is not None and self.scope.hears_log(feed.task_id):
            data += sse_event.event("log", page.data, self.position({}, over))
        if not data:
            return None
        return self._publication(
            Frame(data), lambda client: client.miss(feed.task_id, seq, version), over
        )

    def listing_publication(self, data: bytes) -> Publication:
        """The news that tasks were made, changed or removed; likewise."""
        frame = Frame(sse_event.event("tasks", data, self.position({})))
        return self._publication(frame, Client.miss_listing, over=False)

    def _publication(self, frame: Frame, miss: Callable[[Client], None], over: bool) -> Publication:
        live = []
        for client in self.clients:
            if client.live:
                live.append(client)
            else:
                miss(client)
        return Publication(self, frame, live, miss, over)

    async def end_frame(self) -> Frame | None:
        """The final progress, with a position that is answered with 204 from now on.

        None where the task was started again meanwhile.
        """
        (feed,) = self.feeds
        if self._end is None or self._end[0] != feed.version:
            version, data = feed.version, await self._reader.progress(feed)
            frame = Frame(sse_event.event("end", data, self.position({}, over=True)))
            self._end = (version, frame)
        version, frame = self._end
        return frame if self.over and version == feed.version else None

    async def next_frame(self, client: Client) -> Frame | None:
        """The next thing that a client lacks; None when it lacks nothing."""
        if client.listing:
            client.listing = False
            return Frame(sse_event.event("tasks", NO_NAMES, self.position(client.lacks)))
        while client.lacks:
            task_id, lack = next(iter(client.lacks.items()))
            feed = self._feeds.get(task_id)
            if feed is None:  # removed meanwhile
                del client.lacks[task_id]
                continue
            hears_log = self.scope.hears_log(task_id)
            if hears_log and lack.seq < feed.first_seq - 1:
                return self.reset(client, "pruned")
            if lack.version != feed.version and self.scope.hears(task_id):
                version = feed.version
                data = await self._reader.progress(feed)
                lack.version = version
                return Frame(sse_event.event("progress", data))
            if hears_log and lack.seq < feed.seq:
                page = await self._reader.page(task_id, lack.seq, feed.seq)
                lack.seq = page.last
                client.positioned = True
                over = self.over and page.last == feed.seq
                return Frame(sse_event.event("log", page.data, self.position(client.lacks, over)))
            del client.lacks[task_id]
        if not client.positioned:
            client.positioned = True
            return Frame(sse_event.event("log", b"[]", self.position({}, self.over)))
        return None

    def reset(self, client: Client, reason: str) -> Frame:
        """Tell a client to forget what it has; it is sent everything afresh."""
        client.lacks = self.fresh()
        client.positioned = False
        return Frame(sse_event.event("reset", b'{"reason":"%b"}' % reason.encode("ascii"), ""))


class Publication(msgspec.Struct, frozen=True):
    """A frame on its way to the clients of a channel that have all that came before."""

    channel: Channel
    frame: Frame
    live: list[Client]
    miss: Callable[[Client], None]
    over: bool

    async def deliver(self) -> float:
        """Hand it to all; the seconds that this took of the event loop."""
        frame, miss = self.frame, self.miss

        def give(client: Client) -> None:
            if not client.hand(frame):
                miss(client)

        spent = await in_turns(self.live, give)
        if self.over:
            # Each client sends the end by itself, once it has all that comes before.
            await in_turns(list(self.channel.clients), Client.wake, most=WAKES)
        return spent
