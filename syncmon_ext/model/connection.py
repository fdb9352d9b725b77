"""A named connection: a URL without its secret, and a reference to the secret."""

from __future__ import annotations

import msgspec


class SecretReference(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a secret is found when a worker needs it; exactly one field is set."""

    env: str | None = None  # the name of an environment variable
    file: str | None = None  # the path of a file whose first line is the secret
    keyring: str | None = None  # "service/user" in the system's keyring

    def __post_init__(self) -> None:
        if sum(part is not None for part in (self.env, self.file, self.keyring)) != 1:
            raise ValueError("a secret is exactly one of env, file or keyring")

    def __str__(self) -> str:
        for kind in ("env", "file", "keyring"):
            if (value := getattr(self, kind)) is not None:
                return f"{kind} {value}"
        raise AssertionError("unreachable: __post_init__ requires one part")


class Connection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to reach a database: an SQLAlchemy URL that holds no password.

    ``url`` of a SQLite connection holds an absolute path once it was read from a file.
    """

    name: str
    url: str
    password: SecretReference | None = None
    origin: str = ""  # the file that defines it
