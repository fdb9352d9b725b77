"""The description of the API, generated from the routing table and the types of the code."""

from __future__ import annotations

import http.client
import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from tornado import web

from syncmon_ext._version import __version__
from syncmon_ext.api.base import BODY_BYTES, ErrorReply, SyncmonHandler, authorized
from syncmon_ext.api.operation import Operation, Route

JSON: Final = "application/json"
REF: Final = "#/components/schemas/{name}"
OPENAPI_ROUTES: Final = "syncmon_routes"  # the key of the server's settings


class OpenApiHandler(SyncmonHandler):
    """Serves ``openapi.json``."""

    @web.authenticated
    @authorized(action="read", resource="syncmon")
    async def get(self) -> None:
        """Reply with the description."""
        self.check_query()
        routes = self.settings[OPENAPI_ROUTES]
        self.reply(await self.run(description, routes, f"{self.base_url}api/v1"))

    head = get


ROUTES: Final = (
    Route(
        path="openapi.json",
        handler=OpenApiHandler,
        operations={
            "get": Operation(
                summary="This description",
                action="read",
                response=dict[str, Any],
                reads_store=False,
            )
        },
    ),
)


def description(routes: Sequence[Route], server: str) -> dict[str, Any]:
    """An OpenAPI 3.1 document of ``routes``, which stand below the path ``server``."""
    operations = [operation for route in routes for operation in route.operations.values()]
    kinds = [kind for o in operations for kind in (o.response, o.request) if kind is not None]
    schemas, components = msgspec.json.schema_components([*kinds, ErrorReply], ref_template=REF)
    of = dict(zip([*map(repr, kinds), repr(ErrorReply)], schemas, strict=True))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "syncmon",
            "version": __version__,
            "description": "Copies of database tables, live: see them and steer them.",
        },
        "servers": [{"url": server}],
        "security": [{"token": []}],
        "paths": {f"/{route.path}": _path(route, of) for route in routes},
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "Jupyter's token, as `token …`",
                }
            },
        },
    }


def _path(route: Route, of: dict[str, Any]) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    described: dict[str, Any] = {"parameters": parameters} if parameters else {}
    for method, operation in route.operations.items():
        described[method] = _operation(route, method, operation, of)
    return described


def _operation(
    route: Route, method: str, operation: Operation, of: dict[str, Any]
) -> dict[str, Any]:
    name = f"{method}_{re.sub(r'[^a-z]+', '_', route.path.lower()).strip('_')}"
    described: dict[str, Any] = {
        "operationId": name,
        "summary": operation.summary,
        "responses": _responses(route, operation, of),
    }
    if operation.parameters:
        described["parameters"] = [
            {"name": p.name, "in": p.where, "description": p.description, "schema": p.schema}
            for p in operation.parameters
        ]
    if operation.request is not None:
        described["requestBody"] = {
            "required": operation.body_required,
            "description": f"At most {BODY_BYTES:,} bytes",
            "content": {JSON: {"schema": of[repr(operation.request)]}},
        }
    return described


def _responses(route: Route, operation: Operation, of: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {media: {} for media in operation.media}
    if not operation.only_media and operation.response is not None:
        content = {JSON: {"schema": of[repr(operation.response)]}} | content
    success: dict[str, Any] = {"description": operation.summary}
    if content:
        success["content"] = content
    responses = {str(operation.status): success}
    error = {"content": {JSON: {"schema": of[repr(ErrorReply)]}}}
    for status in sorted(_statuses(route, operation)):
        phrase = http.client.responses[status]
        responses[str(status)] = {"description": phrase, **(error if status >= 400 else {})}
    return responses


def _statuses(route: Route, operation: Operation) -> set[int]:
    """All that a call answers besides success; a defect's 500 is no answer to rely on."""
    found = {400, 403, *operation.errors}
    if operation.reads_store:
        found.add(503)
    if "{" in route.path:
        found.add(404)
    if operation.request is not None:
        found |= {413, 415}
    return found
