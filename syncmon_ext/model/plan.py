"""A plan: how each table of a task will be copied, before a row moves."""

from __future__ import annotations

from typing import Any

import msgspec

from syncmon_ext.model.chunk import KeyValue, Window
from syncmon_ext.model.makeup import Makeup
from syncmon_ext.model.task import Consistency, Mode, Verify


class ColumnPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One column: its types on both sides, and whether every value survives."""

    name: str
    source_type: str
    target_type: str
    nullable: bool
    lossy: bool = False
    reason: str = ""  # why values may not survive, for a person
    collation: str | None = None  # of a column that the target table is made with
    default: str | None = None  # an SQL expression of the target, for a table that is made
    identity: bool = False  # the target numbers new rows; its sequence is set after the copy
    generated: str | None = None  # the target computes the column: it is made, not copied
    virtual: bool = False  # it is computed when it is read
    no_null: bool = False  # SQLite would number the row: it is refused
    check: str = ""  # the rule that each value must pass on its way, see sync.types


class IndexPlan(msgspec.Struct, frozen=True, kw_only=True):
    """An index that a table is made with; ``columns`` are the target's."""

    name: str
    columns: list[str]
    unique: bool
    primary: bool = False
    sql: str | None = (
        None  # SQLite: the source's own statement, where it is the target's dialect too
    )
    # PostgreSQL, likewise: the constraint, or what stands behind the name of the index' table.
    definition: str | None = None
    constraint: bool = False


class ForeignKeyPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A foreign key that a table is made with, once the table it points to is in place."""

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
    validate: bool = True  # False: rows that are there are not checked
    enforced: bool = True  # False: nor are rows to come


class CheckPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A CHECK constraint that a table is made with."""

    name: str
    definition: str
    proved: bool = True  # False: no row that is there is checked


class NumberingPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A column whose new rows the source numbers, of a table that will hold the source's rows alone."""

    column: str
    clause: str = ""  # PostgreSQL: how a new table numbers it likewise
    due: int | None = None  # the number that the source gives next
    descends: bool = False


class UnitPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One table: all that a chunk's copy and the swap need to know, as plain data.

    ``chunk_method`` is ``key`` (ranges of ``key``), ``rowid``/``ctid`` (the physical order, within one
    snapshot) or ``whole`` (one chunk). ``swap`` is ``create`` (the target does not exist), ``rename``,
    ``move`` (rows are moved so that what hangs on the table survives), ``merge`` (rows are inserted or
    updated by ``merge_key``) or ``direct`` (no staging).
    """

    unit_id: str
    ordinal: int
    source_schema: str | None
    source_table: str
    target_schema: str | None
    target_table: str
    columns: list[ColumnPlan]
    key: list[str]
    key_collations: list[str | None] = []
    key_types: list[str] = []
    chunk_method: str
    route: str
    mode: Mode = Mode.REPLACE
    direct: bool = False
    makes_table: bool = False  # the target has no such table yet
    verify: Verify = Verify.COUNT
    max_rejects: int = 0
    consistency: Consistency | None = None
    merge_key: list[str] = []
    merge_collations: list[
        str | None
    ] = []  # of the target's unique index on the key; None: its own
    cursor: str | None = None
    cursor_type: str = ""
    lag_seconds: float = 0.0
    scope: str = ""  # names the rows that a watermark speaks of: source, table, filter, columns
    window: Window | None = None  # of incremental: set when the unit begins
    # Set then, too, where chunks have no snapshot in common: what the source's table must still be.
    made_of: Makeup | None = None
    create_sql: str | None = None  # the source's own statement, where both sides speak one dialect
    indexes: list[IndexPlan] = []
    foreign_keys: list[ForeignKeyPlan] = []
    numbering: list[NumberingPlan] = []
    checks: list[CheckPlan] = []
    swap: str
    swap_reason: str = ""
    where: dict[str, Any] = {}
    rows_total: int | None
    rows_total_is_estimate: bool
    only: KeyValue | None = None  # the key of the one row that is meant, when it is tried again
    large_values: bool = False  # set while it is copied: its chunks run one at a time, and alone
    width_bytes: float | None = None  # of an average row, where the source's statistics tell
    depends_on: list[str] = []  # unit ids whose rows must be in place first (foreign keys)
    tied_to: list[str] = []  # unit ids that must swap in one transaction with it
    fingerprint: str = ""  # of the columns, types and keys on both sides
    warnings: list[str] = []
    # Why the unit cannot be copied as it is configured; behind the last "; " stands the remedy.
    errors: list[str] = []

    @property
    def refusal(self) -> tuple[str, str] | None:
        """The first of the errors and its remedy; None where there is none."""
        if not self.errors:
            return None
        message, found, remedy = self.errors[0].rpartition("; ")
        if not found:
            return remedy, ""
        more = len(self.errors) - 1
        return message, remedy + (f" ({more} more: see the task's plan)" if more else "")

    @property
    def copied(self) -> list[ColumnPlan]:
        """The columns whose values travel, in order."""
        return [column for column in self.columns if column.generated is None]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The dry run of a task: its units in the order of copying."""

    task_id: str
    consistency: str  # what holds between the chunks, in words
    guarantee: str  # "exactly-once" or "at-least-once", and why
    executor: str = ""  # where chunks are copied, in words; empty: beside the worker
    units: list[UnitPlan]

    @property
    def fingerprint(self) -> str:
        """One value that changes when any table's shape does."""
        return "-".join(unit.fingerprint for unit in self.units)
