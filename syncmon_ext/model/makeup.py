"""The makeup of a table or view of PostgreSQL: what its rows come from, and what they are written with."""

from __future__ import annotations

import msgspec


class Makeup(msgspec.Struct, frozen=True, kw_only=True):
    """What one snapshot shows of a unit's table."""

    table: int | None = None  # the OIDs of it and of the others
    columns: str = ""  # those that the unit names, each with its number and type: a hash
    views: str = ""  # what they say: a hash
    parts: list[int] = []
    labels: list[str] = []  # of enums within them, behind the OID of each
    functions: list[str] = []  # that views call: a hash of each, behind its OID
    fixed: bool = False  # all its rows are in the snapshot: none is computed, none another server's
    seen: str = ""  # what the snapshot sees, as PostgreSQL writes it
