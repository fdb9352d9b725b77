"""The shape of a table: what the plan needs to know of it, whatever the database."""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

UNTOLD: Final = "yes"  # in place of the expression of a column that SQLite computes


class ColumnShape(msgspec.Struct, frozen=True, kw_only=True):
    """A column. ``type`` is as the database writes it, with its modifier."""

    name: str
    type: str
    base: str  # the type without modifier; of SQLite: the affinity
    nullable: bool
    collation: str | None = None  # None: the type's default
    default: str | None = None
    identity: bool = False  # identity, serial or AUTOINCREMENT
    numbered_always: bool = False  # GENERATED ALWAYS AS IDENTITY: no UPDATE may give it a value
    generated: str | None = None  # the expression, for a column that the database computes
    virtual: bool = False  # it is computed when it is read
    kind: str = (
        ""  # PostgreSQL's typtype: b(ase), e(num), c(omposite), d(omain), r(ange), m(ultirange)
    )
    user_defined: bool = False  # the type is not the database's own
    definition: str | None = None  # of a type that is user-defined: all that it is made of

    @property
    def has_own_operators(self) -> bool:
        """Whether values compare by what an extension brought; names of its types have a schema."""
        return self.user_defined and (
            self.kind == "b" or (self.kind in "cd" and "." in (self.definition or ""))
        )


class KeyShape(msgspec.Struct, frozen=True, kw_only=True):
    """A unique index in the order and collation of its columns."""

    name: str
    columns: list[str]
    collations: list[str | None]  # where they differ from the columns' own: unusable
    primary: bool
    usable: bool  # every column is NOT NULL, plain and sorted in its own collation


class IndexShape(msgspec.Struct, frozen=True, kw_only=True):
    """An index. ``columns`` are empty where an order of columns is not what it is."""

    name: str
    columns: list[str]
    unique: bool
    primary: bool = False
    sql: str | None = None  # SQLite: the CREATE statement of an index that has one
    constraint: bool = False  # PostgreSQL: a constraint made it
    definition: str | None = (
        None  # PostgreSQL: the constraint, or what stands behind the table's name
    )
    reads: list[str] = []  # with ``definition``: every column that it is made of
    needs: list[str] = []  # with ``definition``: "function public.f(text)", …
    since: int = 0  # with ``definition``: the first version that takes it
    special: list[str] = []  # what its columns alone do not tell, in words of SQL


class CheckShape(msgspec.Struct, frozen=True, kw_only=True):
    """A CHECK constraint of PostgreSQL, with what ``IndexShape`` has beside a definition."""

    name: str
    definition: str
    reads: list[str]
    needs: list[str] = []
    since: int = 0
    proved: bool = True  # every row was checked


class ForeignKeyShape(msgspec.Struct, frozen=True, kw_only=True):
    """A foreign key from this table."""

    name: str
    columns: list[str]
    schema: str | None
    table: str
    references: list[str]
    on_delete: str = ""
    on_update: str = ""
    emptied: list[str] = []  # the columns that ON DELETE SET NULL is for, where not for all
    match: str = ""
    deferrable: str = ""  # or when it is checked where nothing is said
    validated: bool = True  # False: rows may break it
    enforced: bool = True  # False: nothing is checked, ever


class InboundShape(msgspec.Struct, frozen=True, kw_only=True):
    """A foreign key of another table (or of this) that points here."""

    schema: str | None
    table: str
    on_delete: str


class TableShape(msgspec.Struct, frozen=True, kw_only=True):
    """A table or a view as it stands now."""

    schema: str | None
    name: str
    kind: str  # table, parent table, view, partitioned, virtual, foreign
    columns: list[ColumnShape]
    keys: list[KeyShape] = []
    indexes: list[IndexShape] = []
    checks: list[CheckShape] = []
    foreign_keys: list[ForeignKeyShape] = []
    inbound: list[InboundShape] = []
    heirs: list[str] = []  # PostgreSQL: tables that inherit from it, as SQL; partitions are none
    rowid: str | None = None  # SQLite: the name that reaches the rowid
    strict: bool = False  # SQLite: STRICT
    sql: str | None = None  # SQLite: the CREATE statement
    rows: int | None = None
    rows_is_estimate: bool = True
    width_bytes: float | None = None
    dependents: list[str] = []  # what hangs on the table and would not survive a rename
    triggers: list[str] = []  # those that fire on an insert
    delete_triggers: list[
        str
    ] = []  # PostgreSQL: those that fire where a replace deletes the old rows

    def column(self, name: str) -> ColumnShape | None:
        """The column of that name."""
        return next((c for c in self.columns if c.name == name), None)

    @property
    def fingerprint(self) -> str:
        """A digest of the columns and keys; what may change during a run is not in it."""
        stable = [self.kind, self.columns, self.keys]
        return hashlib.sha256(msgspec.json.encode(stable)).hexdigest()[:16]
