"""A chunk: a key range of a unit, copied and committed as a whole."""

from __future__ import annotations

from typing import Any

import msgspec

# A key value as it travels in JSON: what the database's own text form or number says. A list has one
# entry per key column; where it has fewer, it stands behind all keys that begin so. None stands for "from the
# start" and "to the end".
KeyValue = list[Any]


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """What one run of ``incremental`` reads: ``low <= cursor <= high``, fixed when the unit begins.

    ``low`` None = from the start; ``high`` None = the cursor has no value: nothing is read.
    """

    low: KeyValue | None
    high: KeyValue | None


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """The range ``(low, high]`` of a unit's key; low None = open below, high None = open above."""

    low: KeyValue | None
    high: KeyValue | None
    rows: int | None = None  # rows between the bounds when they were walked; None where not counted
    bytes: int | None = None  # of the values as they travelled; None before they did


class ChunkResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one committed chunk did, and where its time went."""

    chunk: Chunk
    rows: int  # rows landed = rows read
    bytes: int  # of the values as they travelled
    source_seconds: float
    transfer_seconds: float
    target_seconds: float
    replayed: bool = False  # found committed already: nothing was copied
