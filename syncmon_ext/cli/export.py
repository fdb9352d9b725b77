"""``export``: a task's log or history as a file."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click
import msgspec

from syncmon_ext.cli.workbench import Workbench, global_options, pass_workbench
from syncmon_ext.model.errors import InvalidRequest
from syncmon_ext.model.log import LogEntry
from syncmon_ext.model.sample import HistorySample
from syncmon_ext.services.export import Format, export
from syncmon_ext.services.task_log import LogFilter


@click.command("export")
@click.argument("task")
@click.option("--what", type=click.Choice(["logs", "history"]), required=True)
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "parquet", "arrow"]),
    default="csv",
    show_default=True,
    help="arrow is an Arrow IPC stream.",
)
@click.option("-o", "output", metavar="FILE", required=True, help="The file; - is standard output.")
@global_options
@pass_workbench
def export_command(bench: Workbench, /, task: str, what: str, form: str, output: str) -> None:
    """Write the whole log or history of TASK to a file."""
    kind: type[msgspec.Struct]
    batches: Iterable[list[Any]]
    if what == "logs":
        kind, batches = LogEntry, bench.log.batches(task, LogFilter())
    else:
        kind, batches = HistorySample, bench.progress.history_batches(task, None)
    pieces = export(batches, kind, Format.CSV if form == "csv" else Format.ARROW)
    if output == "-":
        if form == "parquet":
            raise InvalidRequest("parquet is not written to standard output", hint="-o FILE")
        stdout = sys.stdout.buffer
        for piece in pieces:
            stdout.write(piece)
        return
    with _replacing(Path(output)) as file:
        if form == "parquet":
            _write_parquet(pieces, file)
        else:
            file.writelines(pieces)
    click.echo(f"✓ {what} of {task}: {output}", err=True)


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of ``path`` when it is whole."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error
    unfinished = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        umask = os.umask(0)
        os.umask(umask)
        unfinished.chmod(0o666 & ~umask)  # as if it had been opened by its own name
        unfinished.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        unfinished.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> InvalidRequest:
    return InvalidRequest(
        f"{path} cannot be written: {error.strerror}", hint="choose another file with -o"
    )


def _write_parquet(pieces: Iterable[bytes], file: IO[bytes]) -> None:
    import pyarrow as pa  # heavy, and of use to this alone
    import pyarrow.parquet as pq

    with tempfile.TemporaryFile() as stream:
        stream.writelines(pieces)
        stream.seek(0)
        with (
            pa.ipc.open_stream(stream) as batches,
            pq.ParquetWriter(file, batches.schema) as writer,
        ):
            for batch in batches:
                writer.write_batch(batch)
