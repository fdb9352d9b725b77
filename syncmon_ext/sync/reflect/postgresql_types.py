"""What the types of a PostgreSQL database are made of, down to those that are PostgreSQL's own."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from syncmon_ext.sync.databases.postgresql import PostgresSession

FIRST_OWN: Final = 16_384  # numbers of types from here on are not PostgreSQL's own
_ARRAY: Final = "y.typtype = 'b' AND y.typcategory = 'A' AND y.typelem <> 0"
# Text of its parts, for a type y. An array is what its elements are.
_TEXT: Final = """
CASE y.typtype
WHEN 'd' THEN format_type(y.typbasetype, y.typtypmod)
WHEN 'c' THEN (SELECT string_agg(f.attname || ' ' || format_type(f.atttypid, f.atttypmod), ', '
                                 ORDER BY f.attnum)
               FROM pg_attribute f WHERE f.attrelid = y.typrelid AND f.attnum > 0 AND NOT f.attisdropped)
WHEN 'r' THEN (SELECT 'a range of ' || format_type(g.rngsubtype, NULL) FROM pg_range g
               WHERE g.rngtypid = y.oid)
WHEN 'm' THEN 'a multirange'
WHEN 'e' THEN 'an enum'
ELSE 'a base type' END
"""
# The types of its parts, for a type y.
PARTS: Final = f"""
SELECT y.typelem WHERE {_ARRAY}
UNION ALL SELECT y.typbasetype WHERE y.typtype = 'd'
UNION ALL SELECT f.atttypid FROM pg_attribute f
WHERE y.typtype = 'c' AND f.attrelid = y.typrelid AND f.attnum > 0 AND NOT f.attisdropped
UNION ALL SELECT g.rngsubtype FROM pg_range g WHERE y.typtype = 'r' AND g.rngtypid = y.oid
UNION ALL SELECT g.rngtypid FROM pg_range g  -- since PostgreSQL 14
WHERE y.typtype = 'm' AND (to_jsonb(g) ->> 'rngmultitypid')::oid = y.oid
"""  # noqa: S608  # parts of our own
_DEFINITIONS: Final = f"""
WITH RECURSIVE reached (root, t) AS (
    SELECT o, o FROM unnest(%s::oid[]) AS o
    UNION
    SELECT r.root, part.t FROM reached r JOIN pg_type y ON y.oid = r.t, LATERAL ({PARTS}) AS part (t)
    WHERE part.t::bigint >= {FIRST_OWN}
)
SELECT r.root::bigint, r.t = r.root, format_type(r.t, NULL), {_TEXT}
FROM reached r JOIN pg_type y ON y.oid = r.t
WHERE NOT ({_ARRAY})
ORDER BY 1, r.t <> r.root, 3
"""  # noqa: S608  # parts of our own
_NAMED: Final = f"""
SELECT name, CASE WHEN {_ARRAY} THEN y.typelem ELSE y.oid END::bigint
FROM unnest(%s::text[]) AS name JOIN pg_type y ON y.oid = to_regtype(name)
"""  # noqa: S608  # parts of our own

_LABELS: Final = f"""
WITH RECURSIVE reached (t) AS (
    SELECT to_regtype(name)::oid FROM unnest(%s::text[]) AS name
    UNION SELECT part.t FROM reached r JOIN pg_type y ON y.oid = r.t, LATERAL ({PARTS}) AS part (t)
    WHERE part.t::bigint >= {FIRST_OWN}
)
SELECT e.oid::bigint || ' ' || e.enumlabel FROM reached r JOIN pg_enum e ON e.enumtypid = r.t ORDER BY e.oid
"""  # noqa: S608  # parts of our own


def definitions(session: PostgresSession, types: Collection[int]) -> dict[int, str]:
    """What each of ``types`` is, and then every type that it is made of; of those that are not PostgreSQL's
    own. Of an array, the number of its elements' type is asked for."""
    own = sorted({number for number in types if number >= FIRST_OWN})
    found: dict[int, str] = {}
    for root, itself, name, text in session.execute(_DEFINITIONS, (own,)) if own else ():
        found[root] = text if itself else f"{found[root]}; {name} is {text}"
    return found


def named(session: PostgresSession, names: Sequence[str]) -> dict[str, str]:
    """The definitions of the types that go by ``names``."""
    numbers: dict[str, int] = dict(session.execute(_NAMED, (list(names),)))
    found = definitions(session, numbers.values())
    return {name: found[number] for name, number in numbers.items() if number in found}


def labels(session: PostgresSession, names: Collection[str]) -> list[str]:
    """The labels of enums within the types that go by ``names``, behind the OID of each; those that are
    PostgreSQL's own have no schema in their names, and no labels."""
    own = sorted({name for name in names if "." in name})
    return [label for (label,) in session.execute(_LABELS, (own,))] if own else []
