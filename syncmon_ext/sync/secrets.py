"""Secrets: a reference becomes a value here, in the job that connects, and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

from syncmon_ext.model.connection import SecretReference
from syncmon_ext.model.errors import SecretUnresolved


def resolve(reference: SecretReference, connection: str) -> str:
    """The password of ``connection``; raises SecretUnresolved where the reference leads nowhere."""
    return value_of(reference, f"the password of connection {connection}")


def value_of(reference: SecretReference, whose: str) -> str:
    """The secret that ``reference`` points to; ``whose`` says in an error what it is.

    Raises SecretUnresolved.
    """
    if reference.env is not None:
        value = os.environ.get(reference.env)
        if value is None:
            raise SecretUnresolved(
                f"{whose} is not there: environment variable {reference.env} is not set",
                hint=f"set {reference.env} where the worker is started, then start the task again",
            )
        return value
    if reference.file is not None:
        path = Path(reference.file).expanduser()
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SecretUnresolved(
                f"{whose} is not there: file {path} cannot be read ({type(error).__name__})",
                hint="make the file readable for the worker's user; its first line is the secret",
            ) from error
        return lines[0] if lines else ""
    return _from_keyring(reference.keyring or "", whose)


def _from_keyring(entry: str, whose: str) -> str:
    service, _, user = entry.partition("/")
    try:
        import keyring  # type: ignore[import-not-found,unused-ignore]  # optional: only for this kind
    except ImportError as error:
        raise SecretUnresolved(
            f"{whose} is in the keyring ({entry}), and the package keyring is not installed",
            hint="pip install keyring, or use env or file",
        ) from error
    try:
        value = keyring.get_password(service, user)
    except Exception as error:  # keyring's backends raise what they like
        raise SecretUnresolved(
            f"{whose} is not there: the keyring answered {type(error).__name__} for {entry}",
            hint="unlock the keyring, or use env or file",
        ) from error
    if value is None:
        raise SecretUnresolved(
            f"{whose} is not there: the keyring has no entry {entry}",
            hint=f"keyring set {service} {user}",
        )
    return str(value)
