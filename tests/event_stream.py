"""A parser of event streams after the WHATWG text (9.2.6, interpreting an event stream)."""

from __future__ import annotations

import codecs
import re

_LINE_END = re.compile(r"\r\n|\n|\r")


class Parser:
    """Takes bytes as they come, and gives events as (type, data, last event id)."""

    def __init__(self, last_event_id: str = "") -> None:
        # "utf-8-sig" takes away one leading BOM, as "UTF-8 decode" does.
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._text = ""
        self._type = ""
        self._data: list[str] = []
        self._id_buffer = self.last_event_id = last_event_id
        self.retry: int | None = None

    def feed(self, piece: bytes) -> list[tuple[str, str, str]]:
        """The events that are complete with ``piece``."""
        self._text += self._decoder.decode(piece)
        events = []
        while (found := _LINE_END.search(self._text)) is not None:
            if found[0] == "\r" and found.end() == len(self._text):
                break  # a line feed may follow
            line, self._text = self._text[: found.start()], self._text[found.end() :]
            if line:
                self._field(line)
            else:
                events += self._dispatch()
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
        elif name == "retry" and re.fullmatch(r"[0-9]+", value):
            self.retry = int(value)

    def _dispatch(self) -> list[tuple[str, str, str]]:
        self.last_event_id = self._id_buffer
        kind, data = self._type or "message", self._data
        self._type, self._data = "", []
        return [(kind, "\n".join(data), self.last_event_id)] if data else []
