"""What kernels and terminals of a server inherit, so that they find its store and its file without it."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy.engine import make_url

from syncmon_ext.model.errors import InvalidConfig
from syncmon_ext.services.configuration import CONFIG_VARIABLE, FILE_NAME
from syncmon_ext.services.store_place import is_relative
from syncmon_ext.store.shown_url import without_secrets
from syncmon_ext.store.store import checked_url
from syncmon_ext.sync.launcher import STORE_VARIABLE


def hand_down_store(url: str, *, known: bool) -> bool:
    """Name the store in this process's environment, where its children would not find it themselves.

    ``known``: the environment or Jupyter's own files name it already. Notebooks show their environment: a
    password is left out of it. False where one was.
    """
    if known and not is_relative(url):
        return True
    try:
        whole = make_url(url).set(database=checked_url(url).database)
    except InvalidConfig:
        return True  # the server says what is wrong with it
    os.environ[STORE_VARIABLE] = without_secrets(whole)
    return os.environ[STORE_VARIABLE] == whole.render_as_string(hide_password=False)


def hand_down_file(path: str, *, known: bool, trust_cwd: bool) -> None:
    """Name the ``syncmon.toml``, where the children, in other folders, would not find it themselves."""
    if not path and trust_cwd and Path(FILE_NAME).exists():
        path, known = FILE_NAME, False
    if path and not (known and Path(path).expanduser().is_absolute()):
        os.environ[CONFIG_VARIABLE] = str(Path(path).expanduser().absolute())
