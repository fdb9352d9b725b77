"""Batches of structs become a file: CSV, newline-delimited JSON or an Arrow stream."""

from __future__ import annotations

import csv
import io
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgspec

# A cell that begins so is a formula to a spreadsheet, whatever it was meant to be (OWASP).
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


class Columns(NamedTuple):
    """A batch by columns, in the order of the struct's fields; times may be microseconds."""

    values: list[Sequence[Any]]


Batches = Iterable[list[Any]]


class Format(StrEnum):
    """The media type of an export."""

    CSV = "text/csv"
    ARROW = "application/vnd.apache.arrow.stream"
    NDJSON = "application/x-ndjson"

    @property
    def suffix(self) -> str:
        """What the name of such a file ends with."""
        return {Format.CSV: "csv", Format.ARROW: "arrows", Format.NDJSON: "ndjson"}[self]


def export(batches: Batches, kind: type[msgspec.Struct], target: Format) -> Iterator[bytes]:
    """The file, piece by piece; its columns are the fields of ``kind``, also when it is empty."""
    writers: dict[Format, Callable[[Batches, type[msgspec.Struct]], Iterator[bytes]]] = {
        Format.CSV: _csv,
        Format.ARROW: _arrow,
        Format.NDJSON: _ndjson,
    }
    return writers[target](batches, kind)


def _csv(batches: Batches, kind: type[msgspec.Struct]) -> Iterator[bytes]:
    names = kind.__struct_fields__
    yield _csv_rows([names])
    for batch in batches:
        yield _csv_rows([[_cell(getattr(row, name)) for name in names] for row in batch])


def _csv_rows(rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        text = str(value)
        return f"'{text}" if text.startswith(_FORMULA) else text
    return msgspec.to_builtins(value) if isinstance(value, datetime) else value


def _ndjson(batches: Batches, kind: type[msgspec.Struct]) -> Iterator[bytes]:
    encoder = msgspec.json.Encoder()
    for batch in batches:
        yield encoder.encode_lines(batch)


def _arrow(batches: Batches, kind: type[msgspec.Struct]) -> Iterator[bytes]:
    names = kind.__struct_fields__
    columns = (
        Columns([[getattr(row, name) for row in rows] for name in names]) for rows in batches
    )
    return export_columns(columns, kind)


def export_columns(batches: Iterable[Columns], kind: type[msgspec.Struct]) -> Iterator[bytes]:
    """An Arrow stream, piece by piece, of batches that are columns already."""
    import pyarrow as pa  # heavy, and of use to exports alone

    scalars = {
        int: pa.int64(),
        float: pa.float64(),
        datetime: pa.timestamp("us", tz="UTC"),
        str: pa.string(),
    }
    hints = typing.get_type_hints(kind)
    schema = pa.schema(
        [
            pa.field(
                name, next(a for k, a in scalars.items() if issubclass(_plain(hints[name]), k))
            )
            for name in kind.__struct_fields__
        ]
    )
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            columns = [
                pa.array(values, field.type)
                for values, field in zip(batch.values, schema, strict=True)
            ]
            writer.write_batch(pa.record_batch(columns, schema=schema))
            yield sink.getvalue()
            sink.seek(0)
            sink.truncate()
    yield sink.getvalue()


def _plain(hint: Any) -> type[Any]:
    """The type of a field, without the None that it may be."""
    if isinstance(hint, types.UnionType):
        hint = next(part for part in hint.__args__ if part is not type(None))
    return typing.cast("type[Any]", hint)
