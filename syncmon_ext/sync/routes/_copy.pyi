"""The inner loops of the routes, compiled where there is a compiler; see ``compiled``."""

from typing import Any

def use_sqlite(path: str | None, error: type[Exception], /) -> bool:
    """Look SQLite's functions up in the library that is loaded; True where all are there."""

def use_libpq(path: str, /) -> bool:
    """Look libpq's functions up in the library that is loaded; True where all are there."""

def is_plain(connection: int, /) -> bool:
    """Whether what passes the connection's socket is not encrypted."""

def forwarding(source: int, target: int, /) -> object:
    """What ``forward`` has under way between two sockets: a COPY … TO STDOUT was sent to the one, to the
    other may be written what a COPY … FROM STDIN takes."""

def forward(
    way: object, rows: int, size: int, seconds: float, /
) -> tuple[int, int, float, float, int]:
    """Pass on about so many rows or bytes, or for so long: (rows, bytes, seconds spent waiting for the
    source, for the target, state); state 0 = more may be there, 1 = wait for the source, 2 = the rows of
    the source have ended, 3 = wait for the target in the middle of a message, 4 = the target has ended the
    COPY. The results are then libpq's to read."""

def take(connection: int, rows: int, size: int, /) -> tuple[Any, int, int]:
    """What has arrived of a COPY: (data, rows, state); state -1 = error, its text in place of data,
    0 = more may be there, 1 = wait for the server, 2 = the COPY has ended."""

def prepare(handle: int, statement: str, values: list[Any], /) -> object:
    """A statement of the SQLite connection ``handle`` with its values bound."""

def end(statement: object, /) -> None:
    """End a statement; it keeps the file locked until then."""

def rows(
    statement: object, kinds: bytes, limits: bytes, rows: int, size: int, /
) -> tuple[bytes, int, int]:
    """The next rows as COPY's text: (data, rows, state); state 0 = more, 1 = the next row does not fit,
    2 = the last row was read."""

def land(statement: object, kinds: bytes, data: bytes, offset: int, /) -> tuple[int, int, int]:
    """Insert the lines of ``data`` from ``offset``: (rows, offset, state); state 1 = the line at the
    offset does not fit and was not inserted, 2 = all were given to SQLite. Rows that a trigger left out are
    not counted."""
