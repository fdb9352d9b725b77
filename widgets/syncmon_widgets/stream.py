"""Server-sent events, read as the WHATWG standard says, over as many connections as it takes."""

from __future__ import annotations

import codecs
import random
import re
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import httpx

EVENT_STREAM: Final = "text/event-stream"
SILENCE_SECONDS: Final = 60.0  # the server sends a comment at least every 55 s: then it is gone
RETRY_SECONDS: Final = 1.0  # before a lost stream is asked for again, unless the server says else
SLOWEST_RETRY_SECONDS: Final = 10.0
_LINE_END: Final = re.compile(r"\r\n|\n|\r")
_DIGITS: Final = re.compile(r"[0-9]+")


class Event(NamedTuple):
    """One event; ``id`` is where a client that comes back goes on."""

    name: str
    data: str
    id: str


class Refused(Exception):
    """The server answers, but not with a stream."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the stream is answered with {status}")
        self.status: Final = status


class Parser:
    """Takes bytes as they come, and gives events (WHATWG HTML, 9.2.6)."""

    def __init__(self, last_event_id: str = "") -> None:
        # "utf-8-sig" takes away one leading BOM, as "UTF-8 decode" does.
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._text = ""
        self._type = ""
        self._data: list[str] = []
        self._id_buffer = self.last_event_id = last_event_id
        self.retry: int | None = None  # milliseconds

    def feed(self, piece: bytes) -> list[Event]:
        """The events that are complete with ``piece``."""
        self._text += self._decoder.decode(piece)
        events = []
        start = 0
        while (found := _LINE_END.search(self._text, start)) is not None:
            if found[0] == "\r" and found.end() == len(self._text):
                break  # a line feed may follow
            line, start = self._text[start : found.start()], found.end()
            if line:
                self._field(line)
            else:
                events += self._dispatch()
        self._text = self._text[start:]
        return events

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._type = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id_buffer = value
        elif name == "retry" and _DIGITS.fullmatch(value):
            self.retry = int(value)

    def _dispatch(self) -> list[Event]:
        self.last_event_id = self._id_buffer
        name, data = self._type or "message", self._data
        self._type, self._data = "", []
        return [Event(name, "\n".join(data), self.last_event_id)] if data else []


class EventStream:
    """The events of one address. A connection that is lost is made again, from the last id on."""

    def __init__(
        self,
        http: httpx.Client,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        last_event_id: str = "",
    ) -> None:
        self._http = http
        self._path = path
        self._headers = {"Accept": EVENT_STREAM, "Cache-Control": "no-store", **(headers or {})}
        self._retry_seconds = RETRY_SECONDS
        self.last_event_id = last_event_id

    def events(self, seconds: float) -> Iterator[Event]:
        """What comes within so many seconds, or until the server says that nothing more will.

        Raises Refused where the server answers with something else than a stream.
        """
        import httpx

        deadline = time.monotonic() + seconds
        failures = 0
        while (left := deadline - time.monotonic()) > 0:
            try:
                for event in self._read(min(left, SILENCE_SECONDS)):
                    failures = 0
                    yield event
                    if time.monotonic() >= deadline:
                        return
            except httpx.TransportError:
                failures += 1
            except _Over:
                return
            pause = min(self._retry_seconds * 2.0 ** max(0, failures - 1), SLOWEST_RETRY_SECONDS)
            pause *= random.uniform(0.5, 1.0)  # noqa: S311  # not all clients at a time
            time.sleep(max(0.0, min(pause, deadline - time.monotonic())))

    def _read(self, silence: float) -> Iterator[Event]:
        """The events of one connection."""
        headers = dict(self._headers)
        if self.last_event_id:
            headers["Last-Event-ID"] = self.last_event_id
        with self._http.stream("GET", self._path, headers=headers, timeout=silence) as response:
            if response.status_code == 204:
                raise _Over
            media = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            if response.status_code != 200 or media != EVENT_STREAM:
                raise Refused(response.status_code)
            parser = Parser(self.last_event_id)
            for piece in response.iter_bytes():
                for event in parser.feed(piece):
                    self.last_event_id = event.id
                    yield event
                self.last_event_id = parser.last_event_id
                if parser.retry is not None:
                    self._retry_seconds = parser.retry / 1_000


class _Over(Exception):
    """The server has no more events for us."""
