"""Structs and Arrow tables: one schema, taken from the structs' own types."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from syncmon_ext.services.export import Format, export

if TYPE_CHECKING:
    import pyarrow as pa

ARROW: Final = Format.ARROW.value


def table_of(kind: type[msgspec.Struct], batches: Iterable[Sequence[Any]]) -> pa.Table:
    """The rows as an Arrow table, with a column for each field of ``kind``."""
    import pyarrow as pa

    stream = b"".join(export((list(batch) for batch in batches), kind, Format.ARROW))
    return pa.ipc.open_stream(stream).read_all()
