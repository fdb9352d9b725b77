"""The connections: names, dialects, masked URLs, and a test of each."""

from __future__ import annotations

from typing import Final

import msgspec
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from tornado import web

from syncmon_ext.api.base import SyncmonHandler, authorized
from syncmon_ext.api.operation import Operation, Route
from syncmon_ext.api.task_control import Nothing
from syncmon_ext.model.connection import Connection
from syncmon_ext.model.errors import ConnectionNotFound
from syncmon_ext.model.task import TASK_ID
from syncmon_ext.services import probe
from syncmon_ext.sync.results import ConnectionCheck


class ConnectionView(msgspec.Struct, frozen=True, kw_only=True):
    """A connection as anyone may see it; ``password`` says where the secret is found, never what."""

    name: str
    dialect: str
    url: str
    password: str | None
    origin: str


class Connections(msgspec.Struct, frozen=True, kw_only=True):
    """All connections."""

    connections: list[ConnectionView]


def view(connection: Connection) -> ConnectionView:
    """The connection without its secret, and without its URL's query, which may hold one."""
    try:
        url = make_url(connection.url)
    except (ArgumentError, ValueError):  # nothing of it is shown: it may hold a password
        dialect, shown = "", ""
    else:
        dialect = url.get_backend_name()
        shown = url.set(query={}).render_as_string(hide_password=True)
    password = connection.password
    return ConnectionView(
        name=connection.name,
        dialect=dialect,
        url=shown,
        password=None if password is None else str(password),
        origin=connection.origin,
    )


class ConnectionsHandler(SyncmonHandler):
    """Serves ``connections``."""

    @web.authenticated
    @authorized(action="read", resource="syncmon")
    async def get(self) -> None:
        """Reply with all connections."""
        self.check_query()
        services = await self.services()
        found = await self.run(services.catalog.connections)
        self.reply(Connections(connections=[view(connection) for connection in found]))

    head = get


class ConnectionTestHandler(SyncmonHandler):
    """Serves ``connections/:name/test``."""

    @web.authenticated
    @authorized(action="execute", resource="syncmon")
    async def post(self, name: str) -> None:
        """Try to connect."""
        self.check_query()
        await self.body(Nothing, default=Nothing())
        if TASK_ID.fullmatch(name) is None:
            raise ConnectionNotFound(f"there is no connection {name[:80]!r}")
        services = await self.services()
        connection = await self.run(services.catalog.connection, name)
        timeout = services.settings.connection_timeout
        self.reply(await self.run_slowly(probe.check_connection, connection, timeout))


ROUTES: Final = (
    Route(
        path="connections",
        handler=ConnectionsHandler,
        operations={
            "get": Operation(
                summary="All connections, without secrets", action="read", response=Connections
            )
        },
    ),
    Route(
        path="connections/{name}/test",
        handler=ConnectionTestHandler,
        operations={
            "post": Operation(
                summary="Try to connect",
                action="execute",
                request=Nothing,
                body_required=False,
                response=ConnectionCheck,
                errors=(504,),
            )
        },
    ),
)
