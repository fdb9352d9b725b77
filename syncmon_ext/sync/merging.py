"""Merging by key: which columns rows are inserted or updated by, and how that is said in SQL."""
# ruff: noqa: S608  # names are quoted by sync.quoting

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from syncmon_ext.model.errors import CopyFailed
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.model.task import TableSpec
from syncmon_ext.sync.databases.sessions import AnySession
from syncmon_ext.sync.keys import KeyChoice
from syncmon_ext.sync.near_names import offered
from syncmon_ext.sync.quoting import columns, ident, relation, shown
from syncmon_ext.sync.reflect.shape import TableShape


class MergeKey(msgspec.Struct, frozen=True, kw_only=True):
    """The columns that rows are merged by, with the collations of the target's index on them."""

    columns: list[str] = []
    collations: list[str | None] = []
    errors: list[str] = []


def choose(
    table: TableSpec,
    source: TableShape,
    target: TableShape | None,
    cut: KeyChoice,
    copied: Sequence[str],
) -> MergeKey:
    """The key that is asked for, else what chunks are cut by, else the target's own primary key."""
    wanted = list(table.key or (cut.columns if cut.method == "key" else []))
    if not wanted and target is not None:
        wanted = next((list(key.columns) for key in target.keys if key.primary), [])
    if not wanted:
        error = f"table {source.name} has no key to merge by; add key = [...] or use mode = replace"
        return MergeKey(errors=[error])
    errors = []
    for name in wanted:
        column = source.column(name)
        if column is None:
            remedy = offered([name], [column.name for column in source.columns])
            errors.append(f"key: there is no column {name} in {source.name}; {remedy}")
        elif name not in copied:
            errors.append(f"key column {name} is not copied; add it to columns")
        elif column.nullable and source.kind in ("table", "partitioned"):
            errors.append(
                f"key column {name} may be NULL: such rows cannot be merged; declare it NOT NULL or "
                "choose another key"
            )
    collations: list[str | None] = [None] * len(wanted)
    if target is not None:
        index = next((key for key in target.keys if set(key.columns) == set(wanted)), None)
        if index is None:
            errors.append(
                f"target table {target.name} has no unique index on ({', '.join(wanted)}); make one, "
                "or choose another key"
            )
        else:
            of = dict(zip(index.columns, index.collations, strict=True))
            collations = [of[name] for name in wanted]
    return MergeKey(columns=wanted, collations=collations, errors=errors)


def on_conflict(unit: UnitPlan) -> str:
    """The clause that updates a row whose key is there: every copied column takes the new value.

    The key too, since a collation may call two spellings equal; not where the target numbers it.
    """
    numbered = {column.name for column in unit.columns if column.identity}
    kept = numbered.intersection(unit.merge_key)
    changed = [column.name for column in unit.copied if column.name not in kept] or unit.merge_key
    taken = ", ".join(f"{ident(name)} = excluded.{ident(name)}" for name in changed)
    return f" ON CONFLICT ({columns(unit.merge_key)}) DO UPDATE SET {taken}"


def check_keys(session: AnySession, unit: UnitPlan, table: str) -> None:
    """Prove that no two staged rows have one key and none has NULL, as the target compares them.

    The proof is a unique index, which also serves the merge. Called again it does nothing.
    """
    name = f"{table}_key"[-63:]
    terms = [
        ident(column) + (f" COLLATE {ident(collation)}" if collation else "")
        for column, collation in zip(unit.merge_key, unit.merge_collations, strict=True)
    ]
    place = relation(unit.target_schema, table)
    what = f"table {shown(unit.source_schema, unit.source_table)}"
    listed = ", ".join(unit.merge_key)
    nulls = " OR ".join(f"{ident(column)} IS NULL" for column in unit.merge_key)
    if session.execute(f"SELECT 1 FROM {place} WHERE {nulls} LIMIT 1"):
        raise CopyFailed(
            f"{what}: a row has NULL in its key ({listed}) and cannot be merged",
            hint="leave such rows out with where, or choose another key",
        )
    try:
        session.change(
            f"CREATE UNIQUE INDEX IF NOT EXISTS {ident(name)} ON {place} ({', '.join(terms)})"
        )
    except CopyFailed as error:
        raise CopyFailed(
            f"{what}: rows share one key ({listed}) in the target: {error.message}",
            hint="choose a key that is unique in the source, or mend its rows",
        ) from None
