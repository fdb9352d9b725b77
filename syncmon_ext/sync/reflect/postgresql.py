"""The shape of a PostgreSQL table, from the catalog itself: exact types, modifiers, collations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.reflect.shape import (
    ColumnShape,
    ForeignKeyShape,
    InboundShape,
    IndexShape,
    KeyShape,
    TableShape,
)

_KINDS: Final = {"r": "table", "p": "partitioned", "v": "view", "m": "view", "f": "foreign"}
PARENT: Final = "parent table"  # of others that inherit from it: their rows are read with its own
BATCH_TABLES: Final = 2_000  # of one round of catalog queries
_RULES: Final = {"a": "", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}
_TABLES: Final = """
SELECT n.nspname, c.relname, c.oid::bigint, c.relkind, c.reltuples::float8,
       CASE WHEN c.relkind IN ('r', 'm') THEN pg_relation_size(c.oid) ELSE 0 END,
       c.relpages, current_setting('block_size')::int,
       c.relkind = 'r' AND EXISTS (SELECT FROM pg_inherits h WHERE h.inhparent = c.oid)
FROM unnest(%s::text[], %s::text[]) AS wanted (schema, name)
JOIN pg_namespace n ON n.nspname = wanted.schema
JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""
# pg_statistic is for superusers; pg_stats would hide what this user may not read anyway.
_WIDTHS: Final = """
SELECT schemaname, tablename, sum(avg_width)::float8 FROM pg_stats
WHERE (schemaname, tablename) IN (SELECT * FROM unnest(%s::text[], %s::text[]))
GROUP BY schemaname, tablename
"""
_COLUMNS: Final = """
SELECT a.attrelid::bigint, a.attname, format_type(a.atttypid, a.atttypmod), format_type(a.atttypid, NULL),
       NOT (a.attnotnull OR t.typnotnull),
       CASE WHEN a.attcollation <> t.typcollation THEN
           (SELECT quote_ident(cn.nspname) || '.' || quote_ident(co.collname)
            FROM pg_collation co JOIN pg_namespace cn ON cn.oid = co.collnamespace
            WHERE co.oid = a.attcollation) END,
       pg_get_expr(d.adbin, d.adrelid),
       a.attidentity <> '' OR EXISTS (
           SELECT 1 FROM pg_depend p JOIN pg_class s ON s.oid = p.objid AND s.relkind = 'S'
           WHERE p.refclassid = 'pg_class'::regclass AND p.refobjid = a.attrelid
             AND p.refobjsubid = a.attnum AND p.deptype IN ('a', 'i')),
       a.attgenerated, t.typtype, et.typtype, coalesce(et.oid, t.oid)::bigint >= 16384,
       CASE coalesce(et.typtype, t.typtype)
       WHEN 'd' THEN format_type(coalesce(et.typbasetype, t.typbasetype),
                                 coalesce(et.typtypmod, t.typtypmod))
       WHEN 'c' THEN (SELECT string_agg(f.attname || ' ' || format_type(f.atttypid, f.atttypmod), ', '
                                        ORDER BY f.attnum)
                      FROM pg_attribute f WHERE f.attrelid = coalesce(et.typrelid, t.typrelid)
                      AND f.attnum > 0 AND NOT f.attisdropped) END,
       a.attidentity = 'a'
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_type et ON et.oid = t.typelem AND t.typcategory = 'A'
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = ANY(%s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum
"""
_INDEXES: Final = """
SELECT i.indrelid::bigint, c.relname, i.indisunique, i.indisprimary,
       am.amname = 'btree' AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indisvalid
           AND i.indimmediate,
       ARRAY(SELECT a.attname::text FROM unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY k(n, o)
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.n ORDER BY k.o),
       (SELECT bool_and(a.attnotnull AND i.indoption[k.o - 1] = 0
                        AND i.indcollation[k.o - 1] = a.attcollation AND oc.opcdefault
                        -- others' operators are not found: pg_catalog alone is searched
                        AND oc.opcnamespace = 'pg_catalog'::regnamespace)
        FROM unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY k(n, o)
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.n
        JOIN pg_opclass oc ON oc.oid = i.indclass[k.o - 1]),
       i.indnkeyatts = i.indnatts
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am am ON am.oid = c.relam
WHERE i.indrelid = ANY(%s::oid[])
ORDER BY i.indrelid, i.indisprimary DESC, c.relname
"""
_FOREIGN_KEYS: Final = """
SELECT con.conrelid::bigint, con.conname,
       ARRAY(SELECT a.attname::text FROM unnest(con.conkey) WITH ORDINALITY k(n, o)
             JOIN pg_attribute a ON a.attrelid = con.conrelid AND a.attnum = k.n ORDER BY k.o),
       n.nspname, c.relname,
       ARRAY(SELECT a.attname::text FROM unnest(con.confkey) WITH ORDINALITY k(n, o)
             JOIN pg_attribute a ON a.attrelid = con.confrelid AND a.attnum = k.n ORDER BY k.o),
       con.confdeltype, con.confupdtype
FROM pg_constraint con JOIN pg_class c ON c.oid = con.confrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE con.contype = 'f' AND con.conrelid = ANY(%s::oid[]) AND con.conparentid = 0
ORDER BY con.conrelid, con.conname
"""
_INBOUND: Final = """
SELECT con.confrelid::bigint, n.nspname, c.relname, con.confdeltype
FROM pg_constraint con JOIN pg_class c ON c.oid = con.conrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE con.contype = 'f' AND con.confrelid = ANY(%s::oid[]) AND con.conparentid = 0
"""
# Whatever a new table of the same name would not have. Indexes, checks and defaults are made anew.
_DEPENDENTS: Final = """
WITH wanted AS MATERIALIZED (SELECT unnest(%s::bigint[])::oid AS t),
hanging (t, what) AS (
    SELECT d.refobjid, CASE v.relkind WHEN 'm' THEN 'materialised view ' ELSE 'view ' END || v.relname
    FROM pg_depend d JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
    JOIN pg_class v ON v.oid = r.ev_class
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid IN (SELECT t FROM wanted)
      AND r.ev_class <> d.refobjid
    UNION ALL SELECT ev_class, 'rule ' || rulename FROM pg_rewrite
    UNION ALL SELECT tgrelid, 'trigger ' || tgname FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT polrelid, 'policy ' || polname FROM pg_policy
    UNION ALL SELECT pr.prrelid, 'publication ' || p.pubname
    FROM pg_publication_rel pr JOIN pg_publication p ON p.oid = pr.prpubid
    UNION ALL SELECT conrelid, 'foreign key ' || conname FROM pg_constraint WHERE contype = 'f'
    UNION ALL SELECT confrelid, 'foreign key ' || conname FROM pg_constraint WHERE contype = 'f'
    UNION ALL SELECT inhrelid, 'inheritance' FROM pg_inherits
    UNION ALL SELECT inhparent, 'inheritance' FROM pg_inherits
    UNION ALL SELECT oid, 'grants' FROM pg_class WHERE relacl IS NOT NULL
    UNION ALL SELECT attrelid, 'column grants' FROM pg_attribute WHERE attacl IS NOT NULL
    UNION ALL SELECT oid, 'another owner' FROM pg_class
    WHERE relowner <> (SELECT oid FROM pg_roles WHERE rolname = current_user)
    UNION ALL SELECT oid, 'storage options' FROM pg_class
    WHERE reloptions IS NOT NULL OR relrowsecurity OR relreplident <> 'd'
       OR reltablespace <> 0 OR relpersistence <> 'p'
    UNION ALL SELECT d.refobjid, 'a sequence' FROM pg_depend d JOIN pg_class s ON s.oid = d.objid
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND s.relkind = 'S'
      AND d.refobjid IN (SELECT t FROM wanted)
    UNION ALL SELECT objoid, 'security label' FROM pg_seclabel
    UNION ALL SELECT objoid, 'a comment' FROM pg_description WHERE classoid = 'pg_class'::regclass
    UNION ALL SELECT stxrelid, 'statistics ' || stxname FROM pg_statistic_ext
    UNION ALL SELECT conrelid, 'constraint ' || conname FROM pg_constraint
    WHERE contype = 'x' OR condeferrable
    UNION ALL SELECT t.typrelid, 'use of its row type'
    FROM pg_depend d JOIN pg_type t ON t.oid = d.refobjid
    WHERE d.refclassid = 'pg_type'::regclass AND d.deptype = 'n' AND t.typrelid <> 0
    UNION ALL SELECT d.refobjid, 'function ' || p.proname FROM pg_depend d JOIN pg_proc p
    ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid IN (SELECT t FROM wanted)
)
SELECT DISTINCT t::bigint, what FROM hanging WHERE t IN (SELECT t FROM wanted) ORDER BY 1, 2
"""
_TRIGGERS: Final = """
SELECT tgrelid::bigint, tgname FROM pg_trigger
WHERE tgrelid = ANY(%s::oid[]) AND NOT tgisinternal AND tgtype & 4 <> 0 AND tgenabled <> 'D'
"""


def reflect_all(
    session: PostgresSession, names: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], TableShape]:
    """The shapes of the tables that are there, by schema and name: a few queries for many tables."""
    found: dict[tuple[str, str], TableShape] = {}
    for at in range(0, len(names), BATCH_TABLES):
        found |= _batch(session, names[at : at + BATCH_TABLES])
    return found


def _batch(
    session: PostgresSession, names: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], TableShape]:
    wanted = ([schema for schema, _ in names], [table for _, table in names])
    tables = session.execute(_TABLES, wanted)
    if not tables:
        return {}
    widths = {(row[0], row[1]): row[2] for row in session.execute(_WIDTHS, wanted)}
    oids = [row[2] for row in tables]
    columns, indexes, foreign_keys, inbound, dependents, triggers = (
        _by_table(session, statement, oids)
        for statement in (_COLUMNS, _INDEXES, _FOREIGN_KEYS, _INBOUND, _DEPENDENTS, _TRIGGERS)
    )
    shapes = {}
    for schema, table, oid, kind, tuples, size, pages, block, parent in tables:
        keys, made, lost = _indexed(indexes[oid])
        if parent:  # what holds in it need not hold in the tables that inherit
            keys = [msgspec.structs.replace(key, usable=False) for key in keys]
        shapes[schema, table] = TableShape(
            schema=schema,
            name=table,
            kind=PARENT if parent else _KINDS[kind],
            columns=[_column(*row) for row in columns[oid]],
            keys=keys,
            indexes=made,
            lost_indexes=lost,
            foreign_keys=[
                ForeignKeyShape(
                    name=name,
                    columns=own,
                    schema=other_schema,
                    table=other,
                    references=theirs,
                    on_delete=_RULES[deleted],
                    on_update=_RULES[updated],
                )
                for name, own, other_schema, other, theirs, deleted, updated in foreign_keys[oid]
            ],
            inbound=[
                InboundShape(schema=other_schema, table=other, on_delete=_RULES[rule])
                for other_schema, other, rule in inbound[oid]
            ],
            rows=_partitions_rows(session, oid)
            if kind == "p"
            else _estimated_rows("" if parent else kind, tuples, size, pages, block),
            rows_is_estimate=True,
            width_bytes=widths.get((schema, table)),
            dependents=[row[0] for row in dependents[oid]],
            triggers=[row[0] for row in triggers[oid]],
        )
    return shapes


def _by_table(
    session: PostgresSession, statement: str, oids: Sequence[int]
) -> defaultdict[int, list[Any]]:
    """The rows of a catalog query, whose first column is the table's number, by that number."""
    found: defaultdict[int, list[Any]] = defaultdict(list)
    for row in session.execute(statement, (oids,)):
        found[row[0]].append(row[1:])
    return found


def _column(
    name: str,
    full: str,
    base: str,
    nullable: bool,
    collation: str | None,
    default: str | None,
    identity: bool,
    generated: str,
    typtype: str,
    element: str | None,
    user_defined: bool,
    definition: str | None,
    numbered_always: bool,
) -> ColumnShape:
    return ColumnShape(
        name=name,
        type=full,
        base=base,
        nullable=nullable,
        collation=collation,
        default=None if generated else default,
        identity=identity,
        generated=default if generated else None,
        kind=element or typtype,
        user_defined=user_defined,
        definition=definition,
        numbered_always=numbered_always,
    )


def _partitions_rows(session: PostgresSession, oid: int) -> int | None:
    parts = session.execute(
        "SELECT sum(greatest(c.reltuples, 0))::float8 FROM pg_partition_tree(%s::oid::regclass) p "
        "JOIN pg_class c ON c.oid = p.relid WHERE p.isleaf AND c.reltuples >= 0",
        (oid,),
    )[0][0]
    return round(parts) if parts else None


def _estimated_rows(kind: str, tuples: float, size: int, pages: int, block: int) -> int | None:
    """The planner's own estimate: what the statistics say, scaled to the size of today."""
    if kind not in ("r", "m"):
        return None
    if size == 0:
        return 0
    if tuples < 0:
        return None
    return round(tuples * size / block / pages) if pages else round(tuples)


def _indexed(
    rows: Sequence[Any],
) -> tuple[list[KeyShape], list[IndexShape], list[str]]:
    keys: list[KeyShape] = []
    indexes: list[IndexShape] = []
    lost: list[str] = []
    for name, unique, primary, plain, columns, usable, no_include in rows:
        if unique and plain:
            keys.append(
                KeyShape(
                    name=name,
                    columns=columns,
                    collations=[None] * len(columns),
                    primary=primary,
                    usable=bool(usable),
                )
            )
        if plain and no_include:
            indexes.append(IndexShape(name=name, columns=columns, unique=unique, primary=primary))
        else:
            lost.append(name)
    return keys, indexes, lost
