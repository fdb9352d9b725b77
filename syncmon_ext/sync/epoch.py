"""The epoch of a unit: what its chunks have in common, so that rows of two of them do not go together."""

from __future__ import annotations

import msgspec

from syncmon_ext.model.makeup import Makeup
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.model.task import Consistency
from syncmon_ext.sync.ownership import Ownership
from syncmon_ext.sync.source_file import SourceFile


class Epoch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """As the target remembers it."""

    order: str
    makeup: Makeup | None = None  # of the source's table, where it is one of PostgreSQL
    file: SourceFile | None = None  # of the source, where it is SQLite and not the target, too
    places: dict[str, int] | None = None  # of the source's columns, where it is SQLite
    rows: int | None = None  # as counted in the one snapshot that has been read so far
    labels: list[str] = []  # of enums of the target, which show what lands in it: as they were then

    @classmethod
    def of(cls, text: str) -> Epoch:
        """The epoch that the target holds as ``text``; an older syncmon wrote the order alone."""
        return msgspec.json.decode(text, type=cls) if text.startswith("{") else cls(order=text)

    @property
    def text(self) -> str:
        """As the target holds it."""
        return msgspec.json.encode(self).decode()


def order(own: Ownership, unit: UnitPlan, snapshot: str | None) -> str:
    """What the chunks' order hangs on: nothing for a key, unless one snapshot is asked for; else the snapshot
    or the worker."""
    if unit.consistency is Consistency.SNAPSHOT:
        return snapshot or f"token {own.token}"
    if unit.chunk_method == "ctid":
        return snapshot or f"token {own.token}"
    return f"token {own.token}" if unit.chunk_method == "rowid" else ""
