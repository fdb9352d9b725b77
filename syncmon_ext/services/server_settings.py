"""What Jupyter's configuration files say to the server about its store and its tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec
from jupyter_core.paths import jupyter_config_path

APP: Final = "SyncmonApp"
# As the server reads them, in each folder first the Python file; what a later one says holds. The files in
# jupyter_server_config.d are not among them: Jupyter takes from those which extensions are on, and no more.
_NAMES: Final = ("jupyter_syncmon_ext_config", "jupyter_config", "jupyter_server_config")
_KINDS: Final = (".py", ".json")


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """A trait of the server, and the file that sets it."""

    value: str
    file: Path


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that decide which tasks there are; None: nothing is said, the usual holds."""

    store_url: Setting | None = None
    config_file: Setting | None = None
    troubles: tuple[str, ...] = ()  # files that cannot be read: the server leaves them out as well


def server_settings() -> ServerSettings:
    """What the files say, for a program that works on the server's store without the server.

    What a server was told on its command line is not among it.
    """
    found: dict[str, Setting] = {}
    troubles: list[str] = []
    for path in _files():
        try:
            said = _said(path)
        except Exception as error:  # the file is a program: anything may go wrong in it
            troubles.append(f"{path} cannot be read: {type(error).__name__}: {error}")
            continue
        for name in ("store_url", "config_file"):
            value = said.get(name)
            if isinstance(value, str):
                found[name] = Setting(value=value, file=path)
    return ServerSettings(
        store_url=_unless_empty(found.get("store_url")),
        config_file=_unless_empty(found.get("config_file")),
        troubles=tuple(troubles),
    )


def _files() -> Iterator[Path]:
    folders = [Path(folder) for folder in reversed(jupyter_config_path())]
    for name in _NAMES:
        for folder in folders:
            for kind in _KINDS:
                path = folder / f"{name}{kind}"
                if path.is_file():
                    yield path


def _said(path: Path) -> Mapping[str, object]:
    # A machine without such files does not wait for the import.
    from traitlets.config.loader import JSONFileConfigLoader, PyFileConfigLoader

    loader = PyFileConfigLoader if path.suffix == ".py" else JSONFileConfigLoader
    config = loader(path.name, path=str(path.parent)).load_config()
    section: Mapping[str, object] = config.get(APP, {})
    return section


def _unless_empty(setting: Setting | None) -> Setting | None:
    return setting if setting is not None and setting.value else None
