"""The shape of a PostgreSQL table, from the catalog itself: exact types, modifiers, collations."""

from __future__ import annotations

from typing import Final

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
_RULES: Final = {"a": "", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}
_TABLE: Final = """
SELECT c.oid::bigint, c.relkind, c.reltuples::float8,
       CASE WHEN c.relkind IN ('r', 'm') THEN pg_relation_size(c.oid) ELSE 0 END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
"""
_COLUMNS: Final = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), format_type(a.atttypid, NULL),
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
       a.attgenerated, t.typtype, et.typtype, coalesce(et.oid, t.oid)::bigint >= 16384
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_type et ON et.oid = t.typelem AND t.typcategory = 'A'
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
"""
_INDEXES: Final = """
SELECT i.indexrelid::regclass::oid::bigint, c.relname, i.indisunique, i.indisprimary,
       am.amname = 'btree' AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indisvalid
           AND i.indimmediate,
       ARRAY(SELECT a.attname::text FROM unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY k(n, o)
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.n ORDER BY k.o),
       (SELECT bool_and(a.attnotnull AND i.indoption[k.o - 1] = 0
                        AND i.indcollation[k.o - 1] = a.attcollation AND oc.opcdefault)
        FROM unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY k(n, o)
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.n
        JOIN pg_opclass oc ON oc.oid = i.indclass[k.o - 1]),
       i.indnkeyatts = i.indnatts
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am am ON am.oid = c.relam
WHERE i.indrelid = %s
ORDER BY i.indisprimary DESC, c.relname
"""
_FOREIGN_KEYS: Final = """
SELECT con.conname,
       ARRAY(SELECT a.attname::text FROM unnest(con.conkey) WITH ORDINALITY k(n, o)
             JOIN pg_attribute a ON a.attrelid = con.conrelid AND a.attnum = k.n ORDER BY k.o),
       n.nspname, c.relname,
       ARRAY(SELECT a.attname::text FROM unnest(con.confkey) WITH ORDINALITY k(n, o)
             JOIN pg_attribute a ON a.attrelid = con.confrelid AND a.attnum = k.n ORDER BY k.o),
       con.confdeltype, con.confupdtype
FROM pg_constraint con JOIN pg_class c ON c.oid = con.confrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE con.contype = 'f' AND con.conrelid = %s AND con.conparentid = 0 ORDER BY con.conname
"""
_INBOUND: Final = """
SELECT n.nspname, c.relname, con.confdeltype
FROM pg_constraint con JOIN pg_class c ON c.oid = con.conrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE con.contype = 'f' AND con.confrelid = %s AND con.conparentid = 0
"""
# Whatever a new table of the same name would not have. Indexes, checks and defaults are made anew.
_DEPENDENTS: Final = """
SELECT DISTINCT what FROM (
    SELECT CASE v.relkind WHEN 'm' THEN 'materialised view ' ELSE 'view ' END || v.relname AS what
    FROM pg_depend d JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
    JOIN pg_class v ON v.oid = r.ev_class
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = %(t)s AND r.ev_class <> %(t)s
    UNION ALL SELECT 'rule ' || rulename FROM pg_rewrite WHERE ev_class = %(t)s
    UNION ALL SELECT 'trigger ' || tgname FROM pg_trigger WHERE tgrelid = %(t)s AND NOT tgisinternal
    UNION ALL SELECT 'policy ' || polname FROM pg_policy WHERE polrelid = %(t)s
    UNION ALL SELECT 'publication ' || p.pubname
    FROM pg_publication_rel pr JOIN pg_publication p ON p.oid = pr.prpubid WHERE pr.prrelid = %(t)s
    UNION ALL SELECT 'foreign key ' || conname FROM pg_constraint
    WHERE contype = 'f' AND %(t)s IN (conrelid, confrelid)
    UNION ALL SELECT 'inheritance' FROM pg_inherits WHERE %(t)s IN (inhrelid, inhparent)
    UNION ALL SELECT 'grants' FROM pg_class WHERE oid = %(t)s AND relacl IS NOT NULL
    UNION ALL SELECT 'column grants' FROM pg_attribute WHERE attrelid = %(t)s AND attacl IS NOT NULL
    UNION ALL SELECT 'another owner' FROM pg_class
    WHERE oid = %(t)s AND relowner <> (SELECT oid FROM pg_roles WHERE rolname = current_user)
    UNION ALL SELECT 'storage options' FROM pg_class
    WHERE oid = %(t)s AND (reloptions IS NOT NULL OR relrowsecurity OR relreplident <> 'd'
                           OR reltablespace <> 0 OR relpersistence <> 'p')
    UNION ALL SELECT 'a sequence' FROM pg_depend d JOIN pg_class s ON s.oid = d.objid
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
      AND d.refobjid = %(t)s AND s.relkind = 'S'
    UNION ALL SELECT 'security label' FROM pg_seclabel WHERE objoid = %(t)s
    UNION ALL SELECT 'a comment' FROM pg_description
    WHERE objoid = %(t)s AND classoid = 'pg_class'::regclass
    UNION ALL SELECT 'statistics ' || stxname FROM pg_statistic_ext WHERE stxrelid = %(t)s
    UNION ALL SELECT 'constraint ' || conname FROM pg_constraint
    WHERE conrelid = %(t)s AND (contype = 'x' OR condeferrable)
    UNION ALL SELECT 'use of its row type' FROM pg_depend d JOIN pg_type t ON t.oid = d.refobjid
    WHERE d.refclassid = 'pg_type'::regclass AND t.typrelid = %(t)s AND d.deptype = 'n'
    UNION ALL SELECT 'function ' || p.proname FROM pg_depend d JOIN pg_proc p
    ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = %(t)s
) AS hanging ORDER BY what
"""
_TRIGGERS: Final = """
SELECT tgname FROM pg_trigger
WHERE tgrelid = %s AND NOT tgisinternal AND tgtype & 4 <> 0 AND tgenabled <> 'D'
"""


def reflect(session: PostgresSession, schema: str | None, table: str) -> TableShape | None:
    """The shape of a table; None where there is none."""
    schema = schema or session.default_schema
    found = session.execute(_TABLE, (schema, table))
    if not found:
        return None
    oid, kind, tuples, size = found[0]
    # pg_statistic is for superusers; pg_stats would hide what this user may not read anyway.
    width = session.execute(
        "SELECT sum(avg_width)::float8 FROM pg_stats WHERE schemaname = %s AND tablename = %s",
        (schema, table),
    )[0][0]
    columns = [
        ColumnShape(
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
        )
        for (
            name,
            full,
            base,
            nullable,
            collation,
            default,
            identity,
            generated,
            typtype,
            element,
            user_defined,
        ) in session.execute(_COLUMNS, (oid,))
    ]
    keys, indexes, lost = _indexes(session, oid)
    return TableShape(
        schema=schema,
        name=table,
        kind=_KINDS[kind],
        columns=columns,
        keys=keys,
        indexes=indexes,
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
            for name, own, other_schema, other, theirs, deleted, updated in session.execute(
                _FOREIGN_KEYS, (oid,)
            )
        ],
        inbound=[
            InboundShape(schema=other_schema, table=other, on_delete=_RULES[rule])
            for other_schema, other, rule in session.execute(_INBOUND, (oid,))
        ],
        rows=_estimated_rows(session, oid, kind, tuples, size),
        rows_is_estimate=True,
        width_bytes=width,
        dependents=[row[0] for row in _dependents(session, oid)],
        triggers=[row[0] for row in session.execute(_TRIGGERS, (oid,))],
    )


def _estimated_rows(
    session: PostgresSession, oid: int, kind: str, tuples: float, size: int
) -> int | None:
    """The planner's own estimate: what the statistics say, scaled to the size of today."""
    if kind in ("v", "f"):
        return None
    if kind == "p":
        parts = session.execute(
            "SELECT sum(greatest(c.reltuples, 0))::float8 FROM pg_partition_tree(%s::oid::regclass) p "
            "JOIN pg_class c ON c.oid = p.relid WHERE p.isleaf AND c.reltuples >= 0",
            (oid,),
        )[0][0]
        return round(parts) if parts else None
    if size == 0:
        return 0
    if tuples < 0:
        return None
    pages = session.execute(
        "SELECT relpages, current_setting('block_size')::int FROM pg_class WHERE oid = %s", (oid,)
    )[0]
    return round(tuples * size / pages[1] / pages[0]) if pages[0] else round(tuples)


def _dependents(session: PostgresSession, oid: int) -> list[tuple[str]]:
    with session.guard():
        return [(row[0],) for row in session.raw.execute(_DEPENDENTS.encode(), {"t": oid})]


def _indexes(
    session: PostgresSession, oid: int
) -> tuple[list[KeyShape], list[IndexShape], list[str]]:
    keys: list[KeyShape] = []
    indexes: list[IndexShape] = []
    lost: list[str] = []
    for _, name, unique, primary, plain, columns, usable, no_include in session.execute(
        _INDEXES, (oid,)
    ):
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
