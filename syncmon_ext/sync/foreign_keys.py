"""A foreign key of a new table, in the words of the target."""

from __future__ import annotations

from syncmon_ext.model.plan import ForeignKeyPlan
from syncmon_ext.sync.quoting import columns, ident, relation


def in_postgresql(key: ForeignKeyPlan) -> str:
    """The constraint, as ALTER TABLE … ADD takes it."""
    parts = [_pointing(key, relation(key.schema, key.table))]
    if key.match:
        parts.append(f"MATCH {key.match}")
    parts += _actions(key)
    if not key.enforced:
        parts.append("NOT ENFORCED")
    elif not key.validate:
        parts.append("NOT VALID")
    return " ".join(parts)


def in_sqlite(key: ForeignKeyPlan) -> str:
    """The constraint, as CREATE TABLE takes it; the table that it points to may come later."""
    return " ".join([_pointing(key, ident(key.table)), *_actions(key)])


def sqlite_lacks(key: ForeignKeyPlan) -> list[str]:
    """What of the key SQLite has no words for, or takes no notice of."""
    lost = [f"MATCH {key.match}"] if key.match else []
    if key.emptied:
        lost.append(f"ON DELETE {key.on_delete} of some columns")
    if not key.enforced:
        lost.append("NOT ENFORCED")
    return lost


def _pointing(key: ForeignKeyPlan, table: str) -> str:
    name = f"CONSTRAINT {ident(key.name)} " if key.name else ""
    references = f" ({columns(key.references)})" if key.references else ""
    return f"{name}FOREIGN KEY ({columns(key.columns)}) REFERENCES {table}{references}"


def _actions(key: ForeignKeyPlan) -> list[str]:
    parts = []
    if key.on_delete:
        emptied = f" ({columns(key.emptied)})" if key.emptied else ""
        parts.append(f"ON DELETE {key.on_delete}{emptied}")
    if key.on_update:
        parts.append(f"ON UPDATE {key.on_update}")
    if key.deferrable:
        parts.append(f"DEFERRABLE {key.deferrable}")
    return parts
