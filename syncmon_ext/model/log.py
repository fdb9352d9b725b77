"""A log entry: what happened, to which unit, when."""

from __future__ import annotations

import re
from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

MESSAGE_BYTES: Final = 8192  # longer lines are cut: a log is read by people
# CSI and OSC sequences and the other two-byte escapes (ECMA-48), then what is left of C0, DEL and C1.
_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[@-Z\\-_]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Level(StrEnum):
    """How grave an entry is."""

    INFO = "info"
    SUCCESS = "success"
    WARNING = "warning"
    ERROR = "error"


class LogEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry; ``seq`` counts per task, from 1, without gaps."""

    seq: int
    task_id: str
    run_id: str | None
    time: datetime  # UTC
    level: Level
    unit: str | None
    message: str


def with_hint(message: str, hint: str) -> str:
    """An error's message with its remedy, as one line of the log."""
    return f"{message}; {hint}" if hint else message


def clean_message(text: str) -> str:
    """``text`` without ANSI sequences and control characters, at most 8 KiB of UTF-8.

    Newlines become spaces around a mark so that an entry stays one line.
    """
    text = _ANSI.sub("", text).replace("\r\n", "\n").replace("\n", " ⏎ ").replace("\t", " ")
    text = _CONTROL.sub("", text)
    raw = text.encode("utf-8", "replace")
    if len(raw) <= MESSAGE_BYTES:
        return raw.decode("utf-8")
    return raw[: MESSAGE_BYTES - 3].decode("utf-8", "ignore") + "…"
