"""A plain reader of event streams for tests: what arrived, when, and under which id."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx


class Event(NamedTuple):
    name: str
    data: Any
    id: str | None
    at: float


class Reader:
    """Reads one response; ``last_id`` is what a browser would send when it comes back."""

    def __init__(self, response: httpx.Response, last_id: str | None = None) -> None:
        self.response = response
        self.last_id = last_id
        self.comments = 0
        self.retry: int | None = None
        self.events = self._read()

    def _read(self) -> Iterator[Event]:
        name, data, event_id = "", [], None
        for line in self.response.iter_lines():
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if not line:
                if event_id is not None:
                    self.last_id = event_id
                if data:
                    text = "\n".join(data)
                    yield Event(name or "message", json.loads(text), event_id, time.monotonic())
                name, data, event_id = "", [], None
            elif not field:
                self.comments += 1
                yield Event("comment", None, None, time.monotonic())
            elif field == "event":
                name = value
            elif field == "data":
                data.append(value)
            elif field == "id":
                event_id = value
            elif field == "retry":
                self.retry = int(value)

    def next(self, *names: str) -> Event:
        """The next event with one of the names, or of any but comments."""
        for event in self.events:
            if event.name in names or (not names and event.name != "comment"):
                return event
        raise EOFError("the stream ended")

    def until(self, done: Callable[[list[Event]], bool]) -> list[Event]:
        """All events up to the one with which ``done`` holds."""
        found: list[Event] = []
        for event in self.events:
            if event.name != "comment":
                found.append(event)
                if done(found):
                    return found
        return found

    def rest(self) -> list[Event]:
        """All events up to the end."""
        return self.until(lambda _: False)


@contextmanager
def opened(
    client: httpx.Client, path: str, last_id: str | None = None, timeout: float = 20.0
) -> Iterator[Reader]:
    """An open stream, from ``last_id`` on."""
    headers = {} if last_id is None else {"Last-Event-ID": last_id}
    with client.stream("GET", path, headers=headers, timeout=timeout) as response:
        yield Reader(response, last_id)


def at_start(reader: Reader) -> list[object]:
    """The first progress and the first log event."""
    return [reader.next("progress"), reader.next("log")]


def entries(events: list[Event]) -> list[Any]:
    """The log entries in events."""
    return [entry for event in events if event.name == "log" for entry in event.data]


def seqs(events: list[Event], task_id: str | None = None) -> list[int]:
    """The positions of the log entries in events, in order of arrival."""
    return [e["seq"] for e in entries(events) if task_id is None or e["task_id"] == task_id]
