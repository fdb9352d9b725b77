"""The address of a Jupyter server, as a person copies it from a browser or from what Jupyter prints."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from syncmon_ext.model.errors import InvalidRequest

LIKE: Final = "give one like http://localhost:8888/ or http://localhost:8888/lab?token=…"
_HUB_USER: Final = "user"  # of a JupyterHub: a name follows, which may be any word
# The first part of a page's path below the server's base URL.
_PAGES: Final = frozenset(
    {"lab", "tree", "notebooks", "doc", "edit", "view", "consoles", "terminals", "files"}
    | {"nbclassic", "retro", "voila", "login", "syncmon", "api"}
)
MOST_READINGS: Final = 4  # of one address


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where a server is, apart from what lets one in."""

    url: str  # with the base URL, ending in a slash; without any secret
    token: str = ""
    login: tuple[str, str] | None = None  # name and password of a proxy in front

    def __repr__(self) -> str:
        return f"Address(url={self.url!r})"


def addresses(text: str) -> list[Address]:
    """What ``text`` may mean, the likeliest first: a page below a server, or the server itself.

    Raises InvalidRequest, which does not repeat the text: it may hold a secret.
    """
    text = text.strip()
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or parts.scheme not in ("http", "https"):
        raise InvalidRequest("that is no address of a Jupyter server", hint=LIKE)
    shown = f"[{host}]" if ":" in host else host
    origin = f"{parts.scheme}://{shown}" + ("" if port is None else f":{port}")
    login = None
    if parts.username or parts.password:
        login = (unquote(parts.username or ""), unquote(parts.password or ""))
    token = parse_qs(parts.query).get("token", [""])[-1]
    path = [part for part in parts.path.split("/") if part]
    return [
        Address(url="/".join([origin, *base, ""]), token=token, login=login)
        for base in _bases(path)
    ]


def _bases(path: list[str]) -> list[list[str]]:
    """The parts of a path that may be the base URL: what is before a page's name, or all of it."""
    found = [
        path[:at]
        for at, part in enumerate(path)
        if part in _PAGES and (at == 0 or path[at - 1] != _HUB_USER)
    ]
    return [*found[: MOST_READINGS - 1], path]
