"""The shape of a SQLite table.

SQLite does not list the collation of a column, only that of an index: whoever compares by an index
writes its collation out.
"""

from __future__ import annotations

import re
from collections import defaultdict
from math import prod
from typing import Final

from syncmon_ext.model.errors import CopyFailed
from syncmon_ext.sync.databases.sqlite import SqliteSession
from syncmon_ext.sync.quoting import ident
from syncmon_ext.sync.reflect.shape import (
    UNTOLD,
    ColumnShape,
    ForeignKeyShape,
    InboundShape,
    IndexShape,
    KeyShape,
    TableShape,
)

PAGES_SEEN: Final = 50  # of a tree whose rows are guessed
ROWID: Final = "rowid"  # the name of the key that INTEGER PRIMARY KEY is
_ROWID_NAMES: Final = ("rowid", "_rowid_", "oid")
COLLATIONS: Final = ("BINARY", "NOCASE", "RTRIM")  # the ones that are always there


def affinity(declared: str) -> str:
    """The affinity of a declared type (SQLite, "Datatypes", section 3.1)."""
    name = declared.upper()
    if "INT" in name:
        return "INTEGER"
    if any(word in name for word in ("CHAR", "CLOB", "TEXT")):
        return "TEXT"
    if "BLOB" in name or not name:
        return "BLOB"
    if any(word in name for word in ("REAL", "FLOA", "DOUB")):
        return "REAL"
    return "NUMERIC"


class Catalog:
    """The schema of a file, read once for any number of tables."""

    def __init__(self, session: SqliteSession) -> None:
        self._session = session
        self._tables: dict[str, tuple[str, str, str | None]] = {}
        self._statements: dict[str, str | None] = {}  # of indexes
        self._triggers: defaultdict[str, list[str]] = defaultdict(list)
        self._inbound: defaultdict[str, dict[tuple[str, str], None]] = defaultdict(dict)
        for kind, name, owner, sql in session.execute(
            "SELECT type, name, tbl_name, sql FROM sqlite_schema"
        ):
            if kind == "index":
                self._statements[name] = sql
            elif kind == "trigger":
                self._triggers[owner.lower()].append(name)
            else:
                self._tables[name.lower()] = (name, kind, sql)
        for name, other, rule in session.execute(
            'SELECT s.name, f."table", f.on_delete FROM sqlite_schema s, '
            "pragma_foreign_key_list(s.name) f WHERE s.type = 'table' AND s.sql LIKE '%REFERENCES%' "
            "AND s.name NOT LIKE '\\_syncmon\\_%' ESCAPE '\\'"  # where rows land for a moment
        ):
            self._inbound[other.lower()][name, rule] = None

    def reflect(self, table: str) -> TableShape | None:
        """The shape of ``table``; None where there is none."""
        found = self._tables.get(table.lower())
        return None if found is None else _shape(self._session, self, *found)

    def analysed_rows(self, table: str) -> int | None:
        """The rows that ANALYZE counted; None where it was not run."""
        if "sqlite_stat1" not in self._tables:
            return None
        found = self._session.execute(
            "SELECT max(CAST(stat AS INTEGER)) FROM sqlite_stat1 WHERE tbl = ? COLLATE NOCASE",
            (table,),
        )
        return None if found[0][0] is None else int(found[0][0])

    def statement(self, index: str) -> str | None:
        """The statement that made an index; None for one that its table made."""
        return self._statements.get(index)

    def triggers(self, table: str) -> list[str]:
        """The names of a table's triggers."""
        return self._triggers[table.lower()]

    def inbound(self, table: str) -> list[InboundShape]:
        """The foreign keys that point to a table."""
        return [
            InboundShape(schema=None, table=name, on_delete=rule)
            for name, rule in self._inbound[table.lower()]
        ]


def _shape(
    session: SqliteSession, catalog: Catalog, name: str, kind: str, sql: str | None
) -> TableShape:
    listed = session.execute(
        "SELECT type, wr, strict FROM pragma_table_list(?) WHERE schema = 'main'", (name,)
    )
    without_rowid, strict = (bool(listed[0][1]), bool(listed[0][2])) if listed else (False, False)
    if listed and listed[0][0] == "virtual":
        kind = "virtual"
    info = session.execute(
        'SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?)', (name,)
    )
    primary = [row[0] for row in sorted((r for r in info if r[4]), key=lambda r: r[4])]
    alias = kind == "table" and not without_rowid and _rowid_alias(session, name, info)
    autoincrement = bool(re.search(r"\bAUTOINCREMENT\b", sql or "", re.IGNORECASE))
    columns = [
        ColumnShape(
            name=column,
            type=declared,
            base=affinity(declared) if not (strict and declared.upper() == "ANY") else "BLOB",
            nullable=not (notnull or (pk and (without_rowid or alias))),
            default=default,
            identity=bool(pk and alias and autoincrement),
            generated=UNTOLD if hidden in (2, 3) else None,
        )
        for column, declared, notnull, default, pk, hidden in info
        if hidden != 1
    ]
    names = {column.name.lower() for column in columns}
    rowid = None
    if kind == "table" and not without_rowid:
        rowid = next((n for n in _ROWID_NAMES if n not in names), None)
    keys, indexes = _indexes(session, catalog, name, columns)
    if alias:
        keys.insert(
            0,
            KeyShape(name=ROWID, columns=primary, collations=[None], primary=True, usable=True),
        )
        indexes.insert(0, IndexShape(name="", columns=primary, unique=True, primary=True))
    return TableShape(
        schema=None,
        name=name,
        kind=kind,
        columns=columns,
        keys=keys,
        indexes=indexes,
        foreign_keys=_foreign_keys(session, name, primary),
        inbound=catalog.inbound(name) if kind == "table" else [],
        rowid=rowid,
        rows=_about_rows(session, catalog, name, rowid) if kind == "table" else None,
        rows_is_estimate=True,
        strict=strict,
        sql=sql,
        triggers=catalog.triggers(name),
    )


def _about_rows(
    session: SqliteSession, catalog: Catalog, table: str, rowid: str | None
) -> int | None:
    """About how many rows there are, from a few pages: counting would read all of them."""
    if rowid is not None:
        highest = session.execute(f"SELECT max({rowid}) FROM {ident(table)}")[0][0]  # noqa: S608
        return max(0, int(highest or 0))
    analysed = catalog.analysed_rows(table)
    return analysed if analysed is not None else _rows_by_fanout(session, table)


def _rows_by_fanout(session: SqliteSession, table: str) -> int | None:
    """What a tree holds whose pages are all as full as its first ones; None where SQLite cannot tell.

    dbstat walks a tree depth first, so that its first pages are those from the root to the first leaves.
    """
    try:
        pages = session.execute(
            "SELECT path, pagetype, ncell FROM dbstat WHERE name = ? LIMIT ?", (table, PAGES_SEEN)
        )
    except CopyFailed:
        return None  # this SQLite is built without dbstat
    leaves = [cells for _, kind, cells in pages if kind == "leaf"]
    if not leaves:
        return None
    above: dict[int, int] = {}  # children of the first page of each level
    for path, kind, cells in pages:
        if kind == "internal":
            above.setdefault(path.count("/"), cells + 1)
    return int(sum(leaves) / len(leaves) * prod(above.values()))


def _rowid_alias(session: SqliteSession, table: str, info: list[tuple[object, ...]]) -> bool:
    """True where the primary key is the rowid: INTEGER PRIMARY KEY, which has no index of its own."""
    keys = [row for row in info if row[4]]
    if len(keys) != 1 or str(keys[0][1]).upper() != "INTEGER":
        return False
    own = session.execute("SELECT count(*) FROM pragma_index_list(?) WHERE origin = 'pk'", (table,))
    return not own[0][0]


def _indexes(
    session: SqliteSession,
    catalog: Catalog,
    table: str,
    columns: list[ColumnShape],
) -> tuple[list[KeyShape], list[IndexShape]]:
    keys: list[KeyShape] = []
    indexes: list[IndexShape] = []
    nullable = {column.name: column.nullable for column in columns}
    for name, unique, origin, partial in session.execute(
        'SELECT name, "unique", origin, partial FROM pragma_index_list(?) ORDER BY seq DESC',
        (table,),
    ):
        parts = session.execute(
            'SELECT name, "desc", coll FROM pragma_index_xinfo(?) WHERE key = 1 ORDER BY seqno',
            (name,),
        )
        names = [part[0] for part in parts]
        own = origin == "c"
        sql = catalog.statement(name) if own else None
        if partial or any(part is None for part in names):
            indexes.append(IndexShape(name=name, columns=[], unique=bool(unique), sql=sql))
            continue
        primary = origin == "pk"
        if unique:
            keys.append(
                KeyShape(
                    name=name,
                    columns=names,
                    collations=[part[2] for part in parts],
                    primary=primary,
                    usable=all(
                        not nullable[n] and not desc and coll.upper() in COLLATIONS
                        for n, desc, coll in parts
                    ),
                )
            )
        indexes.append(
            IndexShape(
                name=name if own else "",
                columns=names,
                unique=bool(unique),
                primary=primary,
                sql=sql,
                special=sorted({f"COLLATE {part[2]}" for part in parts if part[2] != "BINARY"}),
            )
        )
    keys.sort(key=lambda key: not key.primary)
    return keys, indexes


def _foreign_keys(session: SqliteSession, table: str, primary: list[str]) -> list[ForeignKeyShape]:
    rows = session.execute(
        'SELECT id, "table", "from", "to", on_update, on_delete FROM pragma_foreign_key_list(?) '
        "ORDER BY id, seq",
        (table,),
    )
    found: list[ForeignKeyShape] = []
    for number in dict.fromkeys(row[0] for row in rows):
        parts = [row for row in rows if row[0] == number]
        found.append(
            ForeignKeyShape(
                name="",
                columns=[part[2] for part in parts],
                schema=None,
                table=parts[0][1],
                references=[part[3] for part in parts if part[3] is not None],
                on_update=parts[0][4] if parts[0][4] != "NO ACTION" else "",
                on_delete=parts[0][5] if parts[0][5] != "NO ACTION" else "",
            )
        )
    return found
