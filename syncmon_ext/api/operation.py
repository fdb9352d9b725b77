"""The description of a call: what the routing table and ``openapi.json`` say of it."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Action = Literal["read", "execute", "write"]


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """A query parameter or a header."""

    name: str
    description: str
    schema: dict[str, Any]
    where: Literal["query", "header"] = "query"


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One method of one route."""

    summary: str
    action: Action
    response: Any = None  # a type; None: no body
    status: int = 200
    request: Any = None  # the body's type; None: there is none
    body_required: bool = True
    parameters: tuple[Parameter, ...] = ()
    media: tuple[str, ...] = ()  # besides JSON
    only_media: bool = False  # the answer is not JSON
    reads_store: bool = True  # which may be away: 503
    errors: tuple[int, ...] = ()  # besides those that every call can answer


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """A path below ``api/v1/`` with its handler; ``{name}`` stands for one part of the path."""

    path: str
    handler: type[Any]
    operations: dict[str, Operation]  # by HTTP method
