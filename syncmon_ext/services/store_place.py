"""Which store a program works on: the same from the server, a command and a kernel."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec
from jupyter_core.paths import jupyter_data_dir
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from syncmon_ext.services.server_settings import APP, server_settings
from syncmon_ext.sync.launcher import STORE_VARIABLE

TRAIT: Final = f"{APP}.store_url"


class StorePlace(msgspec.Struct, frozen=True, kw_only=True):
    """A store's URL, and what named it, for a person; "" where it is the default."""

    url: str
    named_by: str
    troubles: tuple[str, ...] = ()  # of the files that might have named another one

    @property
    def is_relative(self) -> bool:
        """Whether it is a file whose place depends on the working directory."""
        return is_relative(self.url)

    def __repr__(self) -> str:  # the URL may hold a password
        return f"StorePlace(named_by={self.named_by!r})"


def is_relative(url: str) -> bool:
    """Whether ``url`` names a file whose place depends on the working directory."""
    try:
        given = make_url(url)
    except (ArgumentError, ValueError):
        return False  # it is no URL: whoever opens it is told
    path = Path(given.database or "/").expanduser()
    return given.get_backend_name() == "sqlite" and not path.is_absolute()


def default_store_url() -> str:
    """A SQLite file in Jupyter's data dir."""
    path = Path(jupyter_data_dir()) / "syncmon" / "store.db"
    return URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


def store_place(told: str | None = None) -> StorePlace:
    """The store: as ``told`` with --store, by $SYNCMON_STORE, by Jupyter's configuration, else the default.

    A server keeps to the same order, with its command line in the place of --store.
    """
    if told:
        return StorePlace(url=told, named_by="--store")
    chosen = os.environ.get(STORE_VARIABLE)
    if chosen:
        return StorePlace(url=chosen, named_by=f"${STORE_VARIABLE}")
    settings = server_settings()
    if settings.store_url is not None:
        return StorePlace(
            url=settings.store_url.value,
            named_by=f"{TRAIT} in {settings.store_url.file}",
            troubles=settings.troubles,
        )
    return StorePlace(
        url=default_store_url(),
        named_by="",
        troubles=settings.troubles,
    )
