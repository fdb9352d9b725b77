"""What Jupyter's configuration files say to the server about its store and its tasks."""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec
from jupyter_core.paths import jupyter_config_path
from traitlets.config import Application

T = TypeVar("T")

_APP: Final = "SyncmonApp"
# As the server reads them; what a later one says holds.
_NAMES: Final = ("jupyter_config", "jupyter_server_config", "jupyter_syncmon_ext_config")


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that decide which tasks there are; None: nothing is said, the usual holds."""

    store_url: str | None = None
    config_file: str | None = None


class _Reader(Application):
    """Reads configuration files as Jupyter does, and is nothing else."""


def server_settings() -> ServerSettings:
    """What the files say, for a program that works on the server's store without the server.

    What a server was told on its command line is not among it.
    """
    reader = _Reader()
    for name in _NAMES:
        reader.load_config_file(name, path=jupyter_config_path())
    said = reader.config.get(_APP, {})
    return ServerSettings(
        store_url=_text(said.get("store_url")), config_file=_text(said.get("config_file"))
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
