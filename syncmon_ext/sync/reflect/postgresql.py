"""The shape of a PostgreSQL table, from the catalog itself: exact types, modifiers, collations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.reflect import postgresql_indexes, postgresql_types
from syncmon_ext.sync.reflect.shape import (
    CheckShape,
    ColumnShape,
    ForeignKeyShape,
    InboundShape,
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
       ARRAY(SELECT h.inhrelid::regclass::text FROM pg_inherits h
             WHERE c.relkind = 'r' AND h.inhparent = c.oid ORDER BY 1)
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
       a.attgenerated, coalesce(et.typtype, t.typtype), coalesce(et.oid, t.oid)::bigint,
       a.attidentity = 'a'
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_type et ON et.oid = t.typelem AND t.typcategory = 'A' AND t.typtype = 'b'
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = ANY(%s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum
"""
_ELEMENT: Final = 9  # where the number of a type is in a row of _COLUMNS without the table's
_FOREIGN_KEYS: Final = """
SELECT con.conrelid::bigint, con.conname,
       ARRAY(SELECT a.attname::text FROM unnest(con.conkey) WITH ORDINALITY k(n, o)
             JOIN pg_attribute a ON a.attrelid = con.conrelid AND a.attnum = k.n ORDER BY k.o),
       n.nspname, c.relname,
       ARRAY(SELECT a.attname::text FROM unnest(con.confkey) WITH ORDINALITY k(n, o)
             JOIN pg_attribute a ON a.attrelid = con.confrelid AND a.attnum = k.n ORDER BY k.o),
       con.confdeltype, con.confupdtype,
       ARRAY(SELECT a.attname::text  -- since PostgreSQL 15
             FROM jsonb_array_elements_text(nullif(to_jsonb(con) -> 'confdelsetcols', 'null')) AS k(n)
             JOIN pg_attribute a ON a.attrelid = con.conrelid AND a.attnum = k.n::int ORDER BY 1),
       con.confmatchtype = 'f', con.condeferrable, con.condeferred,
       con.convalidated, coalesce((to_jsonb(con) ->> 'conenforced')::bool, true)
FROM pg_constraint con JOIN pg_class c ON c.oid = con.confrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE con.contype = 'f' AND con.conrelid = ANY(%s::oid[])
  AND NOT EXISTS (SELECT FROM pg_constraint up  -- a key to a partitioned table has one to each part
                  WHERE up.oid = con.conparentid AND up.conrelid = con.conrelid)
ORDER BY con.conrelid, con.conname
"""
_CHECKS: Final = f"""
SELECT con.conrelid::bigint, con.conname, pg_get_constraintdef(con.oid),
       ARRAY(SELECT a.attname::text FROM pg_attribute a
             WHERE a.attrelid = con.conrelid AND a.attnum = ANY (con.conkey) ORDER BY a.attnum),
       {postgresql_indexes.NEEDS.format(k="'pg_constraint'", o="con.oid")}, con.convalidated,
       CASE WHEN (to_jsonb(con) ->> 'conenforced')::bool IS FALSE THEN 180000 ELSE 0 END
FROM pg_constraint con WHERE con.contype = 'c' AND con.conrelid = ANY(%s::oid[])
ORDER BY con.conrelid, con.conname
"""  # noqa: S608  # parts of our own
# A DELETE reaches the partitions, and keys of others that point to those. A partition has its parents' keys,
# too, as its own: what they were made from is then another table's.
_INBOUND: Final = """
WITH RECURSIVE whole (t, part) AS (
    SELECT t, t FROM unnest(%s::oid[]) AS wanted (t)
    UNION SELECT w.t, h.inhrelid FROM whole w JOIN pg_inherits h ON h.inhparent = w.part
    JOIN pg_class p ON p.oid = h.inhrelid AND p.relispartition
)
SELECT DISTINCT w.t::bigint, n.nspname, c.relname, con.confdeltype
FROM whole w JOIN pg_constraint con ON con.confrelid = w.part AND con.contype = 'f'
JOIN pg_class c ON c.oid = con.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT EXISTS (SELECT FROM pg_constraint up JOIN whole o ON o.part = up.confrelid
                  WHERE up.oid = con.conparentid AND o.t = w.t)
  AND NOT EXISTS (SELECT FROM whole o
                  WHERE o.t = w.t AND o.part = con.conrelid AND o.part <> o.t)
ORDER BY 1, 2, 3
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
    UNION ALL SELECT tgconstrrelid, 'trigger ' || tgname FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT polrelid, 'policy ' || polname FROM pg_policy
    UNION ALL SELECT d.refobjid, 'policy ' || p.polname FROM pg_depend d JOIN pg_policy p
    ON d.classid = 'pg_policy'::regclass AND p.oid = d.objid
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid IN (SELECT t FROM wanted)
    UNION ALL SELECT pr.prrelid, 'publication ' || p.pubname
    FROM pg_publication_rel pr JOIN pg_publication p ON p.oid = pr.prpubid
    UNION ALL SELECT srrelid, 'a subscription' FROM pg_subscription_rel
    UNION ALL SELECT conrelid, 'foreign key ' || conname FROM pg_constraint WHERE contype = 'f'
    UNION ALL SELECT confrelid, 'foreign key ' || conname FROM pg_constraint WHERE contype = 'f'
    UNION ALL SELECT inhrelid, 'inheritance' FROM pg_inherits
    UNION ALL SELECT inhparent, 'inheritance' FROM pg_inherits
    UNION ALL SELECT oid, 'grants' FROM pg_class WHERE relacl IS NOT NULL
    -- a new table would be given them
    UNION ALL SELECT c.oid, 'its lack of default grants' FROM pg_class c JOIN pg_default_acl d
    ON d.defaclobjtype = 'r' AND d.defaclnamespace IN (0, c.relnamespace)
    AND d.defaclrole = (SELECT oid FROM pg_roles WHERE rolname = current_user)
    WHERE c.relacl IS NULL
    UNION ALL SELECT attrelid, set FROM pg_attribute, LATERAL (VALUES
        ('column grants', attacl IS NOT NULL), ('options of column ' || attname, attoptions IS NOT NULL),
        ('statistics target of column ' || attname, attstattarget >= 0)) AS a (set, there)
    WHERE there AND attnum > 0
    UNION ALL SELECT objid, 'an extension' FROM pg_depend
    WHERE classid = 'pg_class'::regclass AND deptype = 'e'
    UNION ALL SELECT oid, 'another owner' FROM pg_class
    WHERE relowner <> (SELECT oid FROM pg_roles WHERE rolname = current_user)
    UNION ALL SELECT oid, 'storage options' FROM pg_class
    WHERE reloptions IS NOT NULL OR relrowsecurity OR relforcerowsecurity OR relreplident <> 'd'
       OR reltablespace <> 0 OR relpersistence <> 'p'
       OR relam NOT IN (0, (SELECT oid FROM pg_am
                            WHERE amname = current_setting('default_table_access_method')))
    UNION ALL SELECT c.oid, 'storage options' FROM pg_class c JOIN pg_class t ON t.oid = c.reltoastrelid
    WHERE t.reloptions IS NOT NULL
    UNION ALL SELECT oid, 'type ' || reloftype::regtype FROM pg_class WHERE reloftype <> 0
    UNION ALL SELECT d.refobjid, 'a sequence' FROM pg_depend d JOIN pg_class s ON s.oid = d.objid
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND s.relkind = 'S'
      AND d.refobjid IN (SELECT t FROM wanted)
    UNION ALL SELECT objoid, 'security label' FROM pg_seclabel
    UNION ALL SELECT objoid, 'a comment' FROM pg_description WHERE classoid = 'pg_class'::regclass
    UNION ALL SELECT c.conrelid, 'comment of constraint ' || c.conname
    FROM pg_constraint c JOIN pg_description d ON d.objoid = c.oid
    WHERE d.classoid = 'pg_constraint'::regclass AND c.contype IN ('p', 'u', 'x')
    UNION ALL SELECT conrelid, 'NOT VALID of constraint ' || conname
    FROM pg_constraint WHERE contype = 'n' AND NOT convalidated
    UNION ALL SELECT i.indrelid, set || c.relname
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid, LATERAL (VALUES
        ('comment of index ', EXISTS (SELECT FROM pg_description d
                                      WHERE d.classoid = 'pg_class'::regclass AND d.objoid = c.oid)),
        ('statistics target of index ', EXISTS (SELECT FROM pg_attribute a
                                                WHERE a.attrelid = c.oid AND a.attstattarget >= 0)),
        ('extension of index ', EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                                        AND d.objid = c.oid AND d.deptype = 'x')),
        ('CLUSTER on ', i.indisclustered), ('tablespace of index ', c.reltablespace <> 0)
    ) AS a (set, there)
    WHERE there AND i.indrelid IN (SELECT t FROM wanted)
    UNION ALL SELECT stxrelid, 'statistics ' || stxname FROM pg_statistic_ext
    UNION ALL SELECT c.oid, 'use of its row type'
    FROM pg_class c JOIN pg_type t ON t.oid = c.reltype
    CROSS JOIN LATERAL (VALUES (t.oid), (t.typarray)) AS own (type)
    JOIN pg_depend d ON d.refclassid = 'pg_type'::regclass AND d.refobjid = own.type AND d.deptype = 'n'
    WHERE c.oid IN (SELECT t FROM wanted)
    UNION ALL SELECT d.refobjid, 'function ' || p.proname FROM pg_depend d JOIN pg_proc p
    ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid IN (SELECT t FROM wanted)
)
SELECT DISTINCT t::bigint, what FROM hanging WHERE t IN (SELECT t FROM wanted) ORDER BY 1, 2
"""
_TRIGGERS: Final = """
SELECT tgrelid::bigint, tgname, tgtype & 4 <> 0, tgtype & 8 <> 0 FROM pg_trigger
WHERE tgrelid = ANY(%s::oid[]) AND NOT tgisinternal AND tgtype & 12 <> 0 AND tgenabled <> 'D'
ORDER BY 1, 2
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
    columns, indexes, checks, foreign_keys, dependents, triggers = (
        _by_table(session, statement, oids)
        for statement in (
            _COLUMNS,
            postgresql_indexes.STATEMENT,
            _CHECKS,
            _FOREIGN_KEYS,
            _DEPENDENTS,
            _TRIGGERS,
        )
    )
    pointing = inbound(session, oids)
    elements = {row[_ELEMENT] for rows in columns.values() for row in rows}
    definitions = postgresql_types.definitions(session, elements)
    shapes = {}
    for schema, table, oid, kind, tuples, size, pages, block, heirs in tables:
        keys, made = postgresql_indexes.indexed(indexes[oid])
        if heirs:  # what holds in it need not hold in the tables that inherit
            keys = [msgspec.structs.replace(key, usable=False) for key in keys]
        shapes[schema, table] = TableShape(
            schema=schema,
            name=table,
            kind=PARENT if heirs else _KINDS[kind],
            columns=[_column(definitions, *row) for row in columns[oid]],
            keys=keys,
            indexes=made,
            checks=[
                CheckShape(
                    name=name,
                    definition=definition,
                    reads=reads,
                    needs=needs,
                    proved=proved,
                    since=since,
                )
                for name, definition, reads, needs, proved, since in checks[oid]
            ],
            foreign_keys=[_foreign_key(*row) for row in foreign_keys[oid]],
            inbound=pointing[oid],
            heirs=heirs,
            rows=_partitions_rows(session, oid)
            if kind == "p"
            else _estimated_rows("" if heirs else kind, tuples, size, pages, block),
            rows_is_estimate=True,
            width_bytes=widths.get((schema, table)),
            dependents=[row[0] for row in dependents[oid]],
            triggers=[name for name, inserts, _ in triggers[oid] if inserts],
            delete_triggers=[name for name, _, deletes in triggers[oid] if deletes],
        )
    return shapes


def inbound(session: PostgresSession, oids: Sequence[int]) -> defaultdict[int, list[InboundShape]]:
    """The foreign keys that point to tables or to their partitions, by the tables' numbers."""
    found: defaultdict[int, list[InboundShape]] = defaultdict(list)
    for oid, schema, table, rule in session.execute(_INBOUND, (oids,)):
        found[oid].append(InboundShape(schema=schema, table=table, on_delete=_RULES[rule]))
    return found


def _by_table(
    session: PostgresSession, statement: str, oids: Sequence[int]
) -> defaultdict[int, list[Any]]:
    """The rows of a catalog query, whose first column is the table's number, by that number."""
    found: defaultdict[int, list[Any]] = defaultdict(list)
    for row in session.execute(statement, (oids,)):
        found[row[0]].append(row[1:])
    return found


def _column(
    definitions: dict[int, str],
    name: str,
    full: str,
    base: str,
    nullable: bool,
    collation: str | None,
    default: str | None,
    identity: bool,
    generated: str,
    kind: str,
    element: int,
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
        virtual=generated == "v",
        kind=kind,
        user_defined=element >= postgresql_types.FIRST_OWN,
        definition=definitions.get(element),
        numbered_always=numbered_always,
    )


def _foreign_key(
    name: str,
    columns: list[str],
    schema: str,
    table: str,
    references: list[str],
    deleted: str,
    updated: str,
    emptied: list[str],
    full: bool,
    deferrable: bool,
    deferred: bool,
    validated: bool,
    enforced: bool,
) -> ForeignKeyShape:
    return ForeignKeyShape(
        name=name,
        columns=columns,
        schema=schema,
        table=table,
        references=references,
        on_delete=_RULES[deleted],
        on_update=_RULES[updated],
        emptied=emptied,
        match="FULL" if full else "",
        deferrable="INITIALLY DEFERRED"
        if deferred
        else "INITIALLY IMMEDIATE"
        if deferrable
        else "",
        validated=validated,
        enforced=enforced,
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
