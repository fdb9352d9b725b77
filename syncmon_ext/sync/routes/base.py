"""A route: how the rows of a chunk travel for a pair of databases."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec

from syncmon_ext.model.chunk import Chunk
from syncmon_ext.model.connection import Connection
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync.databases.sessions import AnySession


class Landed(msgspec.Struct, frozen=True, kw_only=True):
    """What a route did: rows as each side counted them, and where the time went."""

    rows_read: int
    rows: int
    bytes: int
    source_seconds: float
    transfer_seconds: float
    target_seconds: float


# Copies one chunk into ``table`` of the target's schema, within the target's open transaction.
Copier = Callable[[UnitPlan, Chunk, str], Landed]


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """An open way: the copier, and where the state that it reads can be read besides."""

    copy: Copier
    reader: AnySession
    schema: str | None = None  # of the source's tables in ``reader``, where it is not their own


class Route(Protocol):
    """Opens the way; what it yields is used inside the target's transaction."""

    def __call__(
        self, source: Connection, target: AnySession, snapshot: str | None
    ) -> AbstractContextManager[Way]:
        """A way for the time of a block."""
        ...
