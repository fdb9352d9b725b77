"""Finds the Jupyter server of this kernel, from the files that running servers leave. No server code."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from syncmon_widgets.address import Address, addresses

PARENT_VARIABLE: Final = "JPY_PARENT_PID"  # of a kernel: the process that started it
URL_VARIABLE: Final = "SYNCMON_URL"
TOKEN_VARIABLE: Final = "SYNCMON_TOKEN"  # noqa: S105  # a name
HUB_TOKEN_VARIABLE: Final = "JUPYTERHUB_API_TOKEN"  # noqa: S105  # a name
LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
LOCKED: Final = "locked"  # the code of the error that a server raises which lets no program in
_FILES: Final = "jpserver-*.json"


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """A Jupyter server that is running, and how it lets one in."""

    url: str  # with the base URL, ending in a slash
    token: str
    pid: int | None = None
    socket: str = ""  # a Unix socket's path
    login: tuple[str, str] | None = None  # name and password of a proxy in front
    password: bool = False  # that is said to be set; one that is not said shows when one asks

    def __repr__(self) -> str:  # the token stays out of tracebacks and notebooks
        return f"Server(url={self.url!r}, pid={self.pid})"

    @property
    def base_url(self) -> str:
        """The path of the server's address, with slashes around it."""
        rest = self.url.split("://", 1)[-1]
        return "/" + rest.partition("/")[2]

    @property
    def lets_in(self) -> bool:
        """Whether a program can use the server."""
        return bool(self.token) or not self.password


def locked_message(server: Server) -> str:
    """Why a program cannot use a server that has no token."""
    return f"the Jupyter server at {server.url} lets people in by password, not programs"


def given_servers(
    url: str | None = None,
    token: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> list[Server]:
    """The server that was named, as an argument or in SYNCMON_URL; none: none was.

    More than one where the address may be that of a page or of the server, the likeliest first. Raises
    InvalidRequest.
    """
    url = url or environ.get(URL_VARIABLE)
    if not url:
        return []
    return [
        Server(url=found.url, token=_token_of(found, token, environ), login=found.login)
        for found in addresses(url)
    ]


def _token_of(address: Address, token: str | None, environ: Mapping[str, str]) -> str:
    """The token as an argument, in the address, in the environment, or in the server's own file."""
    if token is not None:
        return token
    said = address.token or environ.get(TOKEN_VARIABLE)
    if said is not None:
        return said
    known = (s.token for s in running_servers() if _place(s.url) == _place(address.url))
    return next(known, "")


def _place(url: str) -> tuple[str, int | None, str]:
    """What two addresses of one server have in common."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return ("localhost" if host in LOOPBACK else host), parts.port, parts.path.rstrip("/")


def running_servers(folder: Path | None = None) -> list[Server]:
    """The servers whose files are in Jupyter's runtime folder and whose processes live, newest first."""
    if folder is None:
        from jupyter_core.paths import jupyter_runtime_dir

        folder = Path(jupyter_runtime_dir())
    found: list[tuple[float, Server]] = []
    for path in folder.glob(_FILES):
        try:
            info = json.loads(path.read_text(encoding="utf-8"))
            server, changed = _server(info), path.stat().st_mtime
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # half written, or of another program
        if server.pid is None or _lives(server.pid):
            found.append((changed, server))
    return [server for _, server in sorted(found, key=lambda pair: -pair[0])]


def own_first(servers: list[Server], environ: Mapping[str, str] = os.environ) -> list[Server]:
    """The server that started this kernel alone, if it is among ``servers``; else all of them."""
    own = [s for s in servers if s.pid is not None and str(s.pid) == environ.get(PARENT_VARIABLE)]
    return own or servers


def _server(info: dict[str, Any]) -> Server:
    token = str(info.get("token") or "")
    if not token:  # a server of a JupyterHub: the hub's token is the kernel's too
        token = os.environ.get(HUB_TOKEN_VARIABLE, "")
    socket = str(info.get("sock") or "")
    url = str(info["url"])
    if socket:
        url = f"http://localhost{info.get('base_url') or '/'}"
    return Server(
        url=url.rstrip("/") + "/",
        token=token,
        pid=int(info["pid"]) if info.get("pid") else None,
        socket=socket,
        password=bool(info.get("password")),
    )


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is somebody else's
        return True
    return True
