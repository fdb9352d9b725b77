"""The file of a SQLite source: which it is, and whether it was set back, while tables of it are copied.

A file that is moved over another has another inode. One that is written over another keeps it: then SQLite's
own numbers of changes, which ordinary writes only raise, tell an older state from a later one.
"""

from __future__ import annotations

import fcntl
import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from syncmon_ext.model.errors import SourceExchanged
from syncmon_ext.sync.databases.sqlite import Place, SqliteSession

_OPEN: Final = Path("/dev/fd")
# FS_IOC_GETVERSION of Linux, where a long has eight bytes: ext4, XFS and btrfs answer it.
_GENERATION: Final = 0x80087601
_CHANGES: Final = struct.Struct(">I"), 24  # SQLite, "Database File Format", 1.3.7, and its place
_NUMBERS: Final = 1 << 32  # the numbers of SQLite begin again after so many


class SourceFile(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file in the state that one transaction reads."""

    device: int
    inode: int
    generation: int | None = (
        None  # of those that have had the inode: a new file may get that of a deleted one
    )
    changes: int | None = None  # of its rows, as far as they have left the write-ahead log
    schema: int  # changes of its tables


def of(session: SqliteSession, schema: str = "main") -> SourceFile | None:
    """The file that ``session`` has as ``schema``; None where the file system does not tell files apart.

    To be asked in the transaction that reads it: a writer that died may have left a number that is rolled
    back.
    """
    place = session.places.get(schema)
    if place is None:
        return None
    version = int(session.execute(f"PRAGMA {schema}.schema_version")[0][0])
    generation, changes = _told(place)
    return SourceFile(
        device=place.device,
        inode=place.inode,
        generation=generation,
        changes=changes,
        schema=version,
    )


def difference(old: SourceFile | None, new: SourceFile | None) -> str:
    """Why rows of ``new`` do not go with those of ``old``; empty where they do, or one is unknown."""
    if old is None or new is None:
        return ""
    known = None not in (old.generation, new.generation)
    if old.inode != new.inode or (known and old.generation != new.generation):
        return "another file lies in the place of the source's now"
    changes = (old.changes or 0, new.changes or 0) if None not in (old.changes, new.changes) else ()
    if _is_less(new.schema, old.schema) or (changes and _is_less(changes[1], changes[0])):
        return "the source's file was set back to an older state, or another was written over it"
    return ""


def doubt(old: SourceFile, new: SourceFile) -> str:
    """Why ``new`` may be another file than ``old``, though nothing more speaks for it.

    File systems get other numbers when they are mounted again, and number their files alike.
    """
    if old.device == new.device or None not in (old.generation, new.generation):
        return ""
    return (
        "the source's file lies on another device than before, as after a restart of the machine: if it is "
        "another file, start fresh"
    )


def check(session: SqliteSession, schema: str, begun: SourceFile | None) -> None:
    """Raise SourceExchanged where what was read is another file than the one that the unit began with."""
    if changed := difference(begun, of(session, schema)):
        raise SourceExchanged(
            f"{changed}: the rows read so far do not go together with the others",
            hint="start the task again when the file stays: the table is copied from its first row",
        )


def _is_less(number: int, other: int) -> bool:
    return 0 < (other - number) % _NUMBERS < _NUMBERS // 2


def _told(place: Place) -> tuple[int | None, int | None]:
    """The generation of the file's inode, and SQLite's counter of changes, where they can be had.

    They are asked of the descriptor that SQLite has. One of our own, once closed, would take SQLite's locks
    with it (SQLite, "How To Corrupt An SQLite Database File", 2.2).
    """
    generation = changes = None
    layout, offset = _CHANGES
    if (number := _descriptor(place)) is not None:
        with suppress(OSError):
            answer = fcntl.ioctl(number, _GENERATION, bytes(8))
            generation = int.from_bytes(answer[:4], "little")
        with suppress(OSError, struct.error):
            changes = int(layout.unpack(os.pread(number, layout.size, offset))[0])
    return generation, changes


def _descriptor(place: Place) -> int | None:
    with suppress(OSError):
        for entry in _OPEN.iterdir():
            with suppress(OSError):
                found = os.fstat(int(entry.name))
                if (found.st_dev, found.st_ino) == place:
                    return int(entry.name)
    return None
