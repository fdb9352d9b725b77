"""The indexes of PostgreSQL tables: which of them are keys, and the text that makes each again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from syncmon_ext.sync.reflect.shape import IndexShape, KeyShape

_HEAD: Final = """
format('CREATE %%sINDEX %%I ON %%s%%I.%%I ', CASE WHEN i.indisunique THEN 'UNIQUE ' END, c.relname,
       CASE c.relkind WHEN 'I' THEN 'ONLY ' END, n.nspname, t.relname)
"""
# Of pg_index i, its pg_class c, and pg_class t and pg_namespace n of its table: all behind the table's name.
# NULL where PostgreSQL should write it in another way one day.
TEXT: Final = f"""
CASE WHEN starts_with(pg_get_indexdef(i.indexrelid), {_HEAD})
THEN right(pg_get_indexdef(i.indexrelid), -length({_HEAD})) END
"""
# Of its pg_constraint con. PostgreSQL leaves the storage options of keys out, which stand before DEFERRABLE.
CONSTRAINT: Final = """
CASE WHEN con.contype IN ('p', 'u') AND c.reloptions IS NOT NULL
THEN regexp_replace(pg_get_constraintdef(con.oid), '(| DEFERRABLE| DEFERRABLE INITIALLY DEFERRED)$',
                    ' WITH (' || array_to_string(c.reloptions, ', ') || ')\\1')
ELSE pg_get_constraintdef(con.oid) END
"""
# Of an object of class k and number o: all that is not built in, or comes with the operating system.
NEEDS: Final = """
ARRAY(SELECT DISTINCT needed.type || ' ' || needed.identity
      FROM pg_depend d, LATERAL pg_identify_object(d.refclassid, d.refobjid, 0) AS needed
      WHERE d.classid = {k}::regclass AND d.objid = {o}
      AND d.refclassid NOT IN ('pg_class'::regclass, 'pg_constraint'::regclass, 'pg_type'::regclass)
      ORDER BY 1)
"""
STATEMENT: Final = f"""
SELECT i.indrelid::bigint, c.relname, i.indisunique, i.indisprimary,
       am.amname = 'btree' AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indisvalid,
       i.indimmediate,
       ARRAY(SELECT a.attname::text FROM unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY k(n, o)
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.n ORDER BY k.o),
       (SELECT bool_and(a.attnotnull AND i.indoption[k.o - 1] = 0
                        AND i.indcollation[k.o - 1] = a.attcollation AND oc.opcdefault
                        -- others' operators are not found: pg_catalog alone is searched
                        AND oc.opcnamespace = 'pg_catalog'::regnamespace
                        -- A bound has no type, and takes the operator's: not all of their texts are values.
                        AND oc.opcintype <> 'record'::regtype
                        AND (oc.opcintype <> 'oid'::regtype OR a.atttypid = 'oid'::regtype)
                        AND (oc.opcintype <> 'anyenum'::regtype
                             OR a.atttypid IN (SELECT y.oid FROM pg_type y WHERE y.typtype = 'e')))
        FROM unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY k(n, o)
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.n
        JOIN pg_opclass oc ON oc.oid = i.indclass[k.o - 1]),
       con.oid IS NOT NULL,
       CASE WHEN NOT i.indisvalid THEN NULL WHEN con.oid IS NOT NULL THEN {CONSTRAINT} ELSE {TEXT} END,
       ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = i.indrelid AND a.attnum > 0
             AND (a.attnum = ANY (i.indkey) OR a.attnum IN (
                 SELECT d.refobjsubid FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                 AND d.objid = i.indexrelid AND d.refobjid = i.indrelid)) ORDER BY a.attnum),
       {NEEDS.format(k="'pg_class'", o="i.indexrelid")},
       CASE WHEN (to_jsonb(con) ->> 'conperiod')::bool THEN 180000
            WHEN (to_jsonb(i) ->> 'indnullsnotdistinct')::bool THEN 150000 ELSE 0 END,
       array_remove(ARRAY[
           CASE WHEN i.indnkeyatts < i.indnatts THEN 'INCLUDE' END,
           CASE WHEN (to_jsonb(i) ->> 'indnullsnotdistinct')::bool THEN 'NULLS NOT DISTINCT' END,
           CASE WHEN NOT i.indimmediate THEN 'DEFERRABLE' END,
           CASE WHEN EXISTS (SELECT FROM unnest(i.indoption) AS o WHERE o <> 0)
                THEN 'DESC or NULLS FIRST' END,
           CASE WHEN EXISTS (SELECT FROM unnest(i.indkey, i.indcollation) AS k(n, c) JOIN pg_attribute a
                             ON a.attrelid = i.indrelid AND a.attnum = k.n
                             WHERE k.c <> 0 AND k.c <> a.attcollation) THEN 'COLLATE' END,
           CASE WHEN EXISTS (SELECT FROM unnest(i.indclass) AS k(n) JOIN pg_opclass oc ON oc.oid = k.n
                             WHERE NOT oc.opcdefault) THEN 'its operator class' END], NULL)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am am ON am.oid = c.relam
JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace
LEFT JOIN pg_constraint con ON con.conindid = i.indexrelid AND con.conrelid = i.indrelid
     AND con.contype IN ('p', 'u', 'x')
WHERE i.indrelid = ANY(%s::oid[])
ORDER BY i.indrelid, i.indisprimary DESC, c.relname
"""  # noqa: S608  # parts of our own


def indexed(rows: Sequence[Any]) -> tuple[list[KeyShape], list[IndexShape]]:
    """The keys and the indexes of one table, from its rows of ``STATEMENT`` without the table's number."""
    keys: list[KeyShape] = []
    indexes: list[IndexShape] = []
    for name, unique, primary, plain, immediate, columns, usable, *made in rows:
        if unique and plain and immediate:
            keys.append(
                KeyShape(
                    name=name,
                    columns=columns,
                    collations=[None] * len(columns),
                    primary=primary,
                    usable=bool(usable),
                )
            )
        constraint, definition, reads, needs, since, special = made
        indexes.append(
            IndexShape(
                name=name,
                columns=columns if plain else [],
                unique=unique,
                primary=primary,
                constraint=constraint,
                definition=definition,
                reads=reads,
                needs=needs,
                since=since,
                special=special,
            )
        )
    return keys, indexes
