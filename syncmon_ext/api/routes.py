"""The routing table: every call there is, once."""

from __future__ import annotations

import re
from typing import Any, Final

from tornado import web

from syncmon_ext.api import (
    connections,
    loops,
    openapi,
    rejects,
    task_control,
    task_monitor,
    task_sse,
    tasks,
)
from syncmon_ext.api.base import NotFoundHandler
from syncmon_ext.api.operation import Route

ROOT: Final = "/api/v1"
ROUTES: Final[tuple[Route, ...]] = (
    *tasks.ROUTES,
    *task_monitor.ROUTES,
    *task_control.ROUTES,
    *task_sse.ROUTES,
    *rejects.ROUTES,
    *loops.ROUTES,
    *connections.ROUTES,
    *openapi.ROUTES,
)


def api_handlers() -> list[tuple[str, type[web.RequestHandler], dict[str, Any]]]:
    """The routes of the API, below the server's base URL."""
    found: list[tuple[str, type[web.RequestHandler], dict[str, Any]]] = [
        (f"{ROOT}/{pattern(route.path)}", route.handler, {}) for route in ROUTES
    ]
    return [*found, (rf"{ROOT}(?:/.*)?", NotFoundHandler, {})]


def pattern(path: str) -> str:
    """The regular expression of a path: a name in braces is one part, still percent-encoded."""
    parts = re.split(r"{\w+}", path)
    return "([^/]+)".join(re.escape(part) for part in parts)
