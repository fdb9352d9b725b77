"""The shape of a table in either database."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sessions import AnySession
from syncmon_ext.sync.reflect import postgresql, sqlite
from syncmon_ext.sync.reflect.shape import TableShape


def reflect(session: AnySession, schema: str | None, table: str) -> TableShape | None:
    """The shape of a table; None where there is none."""
    return reflect_all(session, [(schema, table)])[schema, table]


def reflect_all(
    session: AnySession, names: Sequence[tuple[str | None, str]]
) -> dict[tuple[str | None, str], TableShape | None]:
    """The shapes of many tables, None for those that are not there."""
    if isinstance(session, PostgresSession):
        home = session.default_schema or "public"
        there = postgresql.reflect_all(
            session, list(dict.fromkeys((schema or home, table) for schema, table in names))
        )
        return {(schema, table): there.get((schema or home, table)) for schema, table in names}
    catalog = sqlite.Catalog(session)
    return {(schema, table): catalog.reflect(table) for schema, table in names}


def similar_names(session: AnySession, schema: str | None, table: str) -> list[str]:
    """Names of tables that a person may have meant, the likeliest first."""
    if isinstance(session, PostgresSession):
        rows = session.execute(
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f') LIMIT 1000",
            (schema or session.default_schema,),
        )
    else:
        rows = session.execute(
            "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') "
            "AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '_syncmon_%' LIMIT 1000"
        )
    return difflib.get_close_matches(table, [row[0] for row in rows], n=3, cutoff=0.5)
