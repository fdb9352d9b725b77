"""Keys as texts: what names a chunk's bounds and a bad row in a target."""

from __future__ import annotations

import hashlib
from typing import Any, Final, Literal

import msgspec

from syncmon_ext.model.chunk import KeyValue

OPEN: Final = "null"  # an open bound
SHOWN: Final = 120  # characters of a key in a message
LONGEST: Final = 600  # bytes of a name: PostgreSQL's index takes 2,704 of all its columns


def json(value: Any, *, order: Literal["sorted"] | None = None) -> str:
    """A value as JSON that every target keeps as it is."""
    text = msgspec.json.encode(value, order=order).decode()
    # In a file in UTF-16 SQLite makes U+FFFD of either, see wide_texts.
    return text.replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")


def encoded(key: KeyValue | None) -> str:
    """A key as JSON: equal keys have equal texts."""
    return json(key) if key is not None else OPEN


def decoded(text: str) -> KeyValue | None:
    """The key that ``encoded`` wrote."""
    value: KeyValue | None = msgspec.json.decode(text)
    return value


def shortened(key: KeyValue) -> str:
    """A key for a message."""
    text = encoded(key)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def named(key: KeyValue | None) -> tuple[str, str | None]:
    """What stands for a key in an index, and its text where that is too long to stand for itself."""
    text = encoded(key)
    data = text.encode()
    if len(data) <= LONGEST:
        return text, None
    return f"sha256:{hashlib.sha256(data).hexdigest()}", text


def name(key: KeyValue | None) -> str:
    """What stands for a key in an index."""
    return named(key)[0]


def of_name(name: str, text: str | None) -> KeyValue | None:
    """The key that ``named`` gave these."""
    return decoded(name if text is None else text)
