"""The position of a stream, as ``id:`` and ``Last-Event-ID`` carry it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

import msgspec

_PART = re.compile(r"([A-Za-z0-9_-]{8})([0-9a-z]{1,13})")
_HEAD = re.compile(r"([0-9a-f]{12})([A-Za-z0-9_-]{4})([A-Za-z0-9_-]{4})(!?)")
LONGEST: Final = 65_536  # Tornado's bound for all headers
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """How far a client has read: the last log entry of each task, in which store, of which stream.

    ``seqs`` goes by ``task_key`` and leaves out tasks of which nothing was sent. ``over`` says that the
    client has the final state as well.
    """

    store: str
    scope: str  # of the stream's query: a position is of use only for the same one
    listing: str  # of the tasks that there were: a client learns of others when it comes back
    seqs: Mapping[str, int]
    over: bool = False


def task_key(task_id: str, created_at: datetime) -> str:
    """Eight characters that stand for a task: another one with the same id has others."""
    return digest([task_id, created_at.isoformat()], 8)


def digest(parts: Iterable[str], length: int) -> str:
    """``length`` URL-safe characters that stand for ``parts``."""
    text = "\0".join(parts).encode()
    raw = hashlib.blake2b(text, digest_size=length * 6 // 8).digest()
    return base64.urlsafe_b64encode(raw).decode("ascii")[:length]


def encode(position: Position) -> str:
    """The position as text: store, scope and listing, then a key and a number in base 36 per task."""
    over = "!" if position.over else ""
    head = f"{position.store[:12]}{position.scope}{position.listing}{over}"
    parts = (f"{key}{_base36(seq)}" for key, seq in position.seqs.items() if seq > 0)
    return ".".join((head, *parts))


def decode(text: str) -> Position | None:
    """The position that ``text`` holds; None where it holds none."""
    if len(text) > LONGEST:
        return None
    first, *rest = text.split(".")
    head = _HEAD.fullmatch(first)
    parts = [_PART.fullmatch(part) for part in rest]
    if head is None or not all(parts):
        return None
    seqs = {part[1]: int(part[2], 36) for part in parts if part is not None}
    if len(seqs) != len(parts):
        return None
    return Position(store=head[1], scope=head[2], listing=head[3], over=bool(head[4]), seqs=seqs)


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits or "0"
