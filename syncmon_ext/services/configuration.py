"""Finds ``syncmon.toml`` and keeps what it says, also while the file is broken."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from jupyter_core.paths import jupyter_config_path

from syncmon_ext.model.config import Config, parse_config
from syncmon_ext.model.errors import InvalidConfig, SyncmonError
from syncmon_ext.services.server_settings import Setting, server_settings

FILE_NAME: Final = "syncmon.toml"
CONFIG_VARIABLE: Final = "SYNCMON_CONFIG"

Mark = tuple[str, int, int, int]  # path, mtime in ns, bytes, inode: a change of any is news


class Configuration:
    """The connections and tasks of the first file found.

    The order: ``path``, ``$SYNCMON_CONFIG``, with ``trust_cwd`` the working directory's, what
    ``setting`` names, then those in Jupyter's config dirs. The file is read again when it changed. A
    broken one is told by ``error``, and the last good version stays in use.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        trust_cwd: bool = False,
        setting: Setting | None = None,
    ) -> None:
        chosen = path or os.environ.get(CONFIG_VARIABLE)
        # The working directory may change later; what was meant does not.
        self._chosen = Path(chosen).expanduser().absolute() if chosen else None
        self._cwd = Path.cwd() if trust_cwd else None
        self._set = Path(setting.value).expanduser().absolute() if setting else None
        self._lock = threading.Lock()
        self._mark: Mark | None = None
        self._path: Path | None = None
        self._config = Config()
        self._error: SyncmonError | None = None

    def current(self) -> Config:
        """What the file says now, or said before it broke; empty where there is no file."""
        with self._lock:
            self._refresh()
            return self._config

    @property
    def error(self) -> SyncmonError | None:
        """Why the file as it stands now cannot be used; None where all is well."""
        with self._lock:
            self._refresh()
            return self._error

    @property
    def path(self) -> Path | None:
        """The file in use, or the one that should be; None where there is none."""
        with self._lock:
            self._refresh()
            return self._path

    def places(self) -> list[Path]:
        """Where a file is looked for, in this order."""
        return list(self._candidates())

    def _candidates(self) -> Iterator[Path]:
        if self._chosen is not None:
            yield self._chosen
            return
        if self._cwd is not None:
            yield self._cwd / FILE_NAME
        if self._set is not None:
            yield self._set
            return
        for folder in jupyter_config_path():
            yield Path(folder) / FILE_NAME

    def _refresh(self) -> None:
        for path in self._candidates():
            try:
                stat = path.stat()
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                self._path, self._mark = path, None
                self._error = _unreadable(path, error)
                return
            mark = (str(path), stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if mark != self._mark:
                self._read(path, mark)
            return
        self._mark, self._path = None, self._chosen or self._set
        if self._path is None:
            self._config, self._error = Config(), None
        else:
            self._error = InvalidConfig(
                f"{self._path}: there is no such file",
                hint=f"correct --config, ${CONFIG_VARIABLE} or SyncmonApp.config_file",
            )

    def _read(self, path: Path, mark: Mark) -> None:
        if path != self._path:
            self._config = Config()  # the last good version is of this file, not of another one
        self._path = path
        try:
            self._config = parse_config(
                path.read_text(encoding="utf-8-sig"), folder=str(path.parent), origin=str(path)
            )
        except SyncmonError as error:
            self._error, self._mark = error, mark
        except UnicodeDecodeError as error:
            self._mark = mark
            self._error = InvalidConfig(
                f"{path}: not valid TOML: byte {error.start} is not UTF-8", hint="save it as UTF-8"
            )
        except OSError as error:
            self._error, self._mark = _unreadable(path, error), None
        else:
            self._error, self._mark = None, mark


def beside_the_server(path: str | None = None, *, trust_cwd: bool = False) -> Configuration:
    """What a program uses that works on the server's tasks without the server."""
    named = path or os.environ.get(CONFIG_VARIABLE)
    setting = None if named else server_settings().config_file
    return Configuration(path, trust_cwd=trust_cwd, setting=setting)


def _unreadable(path: Path, error: OSError) -> InvalidConfig:
    return InvalidConfig(
        f"{path}: cannot be read: {error.strerror}", hint="make it a file that you may read"
    )
