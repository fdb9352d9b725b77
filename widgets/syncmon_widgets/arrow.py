"""Structs and Arrow tables: one schema, taken from the structs' own types."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from syncmon_ext.services.export import Columns, Format, export, export_columns

if TYPE_CHECKING:
    import pyarrow as pa

ARROW: Final = Format.ARROW.value


def table_of(kind: type[msgspec.Struct], batches: Iterable[Sequence[Any]]) -> pa.Table:
    """The rows as an Arrow table, with a column for each field of ``kind``."""
    return _read(export((list(batch) for batch in batches), kind, Format.ARROW))


def table_of_columns(kind: type[msgspec.Struct], batches: Iterable[Columns]) -> pa.Table:
    """The same of batches that are columns already."""
    return _read(export_columns(batches, kind))


def _read(pieces: Iterable[bytes]) -> pa.Table:
    import pyarrow as pa

    return pa.ipc.open_stream(b"".join(pieces)).read_all()
