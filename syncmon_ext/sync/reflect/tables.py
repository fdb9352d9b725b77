"""The shape of a table in either database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sessions import AnySession
from syncmon_ext.sync.near_names import offered
from syncmon_ext.sync.reflect import postgresql, sqlite
from syncmon_ext.sync.reflect.shape import TableShape

LISTED: Final = 1_000  # tables that are looked through for a name that was mistyped


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


def where_to_look(session: AnySession, schema: str | None, table: str) -> str:
    """What a person may have meant by a table that is not there."""
    if isinstance(session, PostgresSession):
        found = session.execute(
            "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT LIKE 'pg\\_%%' "
            "AND n.nspname NOT IN ('information_schema', '_syncmon') AND NOT c.relispartition "
            "AND c.relname NOT LIKE '\\_syncmon\\_%%' "
            "AND (n.nspname = %s OR c.relname = %s) ORDER BY c.relname LIMIT %s",
            (schema or session.default_schema, table, LISTED),
        )
        here = [name for place, name in found if place == (schema or session.default_schema)]
        other = [place for place, name in found if name == table]
    else:
        rows = session.execute(
            "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') "
            "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE '\\_syncmon\\_%' ESCAPE '\\' "
            "ORDER BY name LIMIT ?",
            (LISTED,),
        )
        here, other = [row[0] for row in rows], []
    if other:
        return f'there is one in schema {", ".join(other)}: set schema = "{other[0]}"'
    if not here:
        return "there is no table at all: is it the right database, and may its user see them?"
    return offered([table], here)
