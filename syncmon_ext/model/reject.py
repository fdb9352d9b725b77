"""Rejects: rows that the target, or their own values, would not let in, kept to be tried again."""

from __future__ import annotations

from typing import Any

import msgspec


class Reject(msgspec.Struct, frozen=True, kw_only=True):
    """One bad row. ``error`` repeats no value; ``message`` and ``row`` do, and are for who may write."""

    unit_id: str
    run_id: str
    key: dict[str, Any]  # column -> value, as the source's key says it
    column: str | None  # None where the database does not name one
    error: str
    rejected_at: str  # UTC, ISO 8601
    message: str | None = None
    row: dict[str, str | None] | None = None  # column -> text, cut where it is long


class Rejects(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of ``GET tasks/:id/rejects``: the newest first; ``total`` counts all there are."""

    total: int
    rejects: list[Reject]


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What trying the rejects again did."""

    replayed: int  # in the target now
    gone: int  # no longer in the source, or no longer within the task's filter
    remaining: int  # still bad, or not tried before the time was up
