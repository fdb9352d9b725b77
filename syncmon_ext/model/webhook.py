"""A webhook: an address that is told when a run has ended."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec

from syncmon_ext.model.connection import SecretReference
from syncmon_ext.model.errors import InvalidConfig
from syncmon_ext.model.state import State

GIVEN: Final = "given"  # the name of a webhook that was given by its URL
_HTTP: Final = re.compile(r"https?://", re.IGNORECASE)


class Webhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An HTTP address, or a reference to one where the address itself is a secret."""

    name: str
    url: str | SecretReference
    token: SecretReference | None = None  # sent as a bearer token


class RunFinished(msgspec.Struct, frozen=True, kw_only=True):
    """What a webhook receives, as JSON in a POST."""

    event: Literal["run_finished"] = "run_finished"
    task_id: str
    run_id: str
    name: str
    state: State  # completed, failed or stopped
    started_at: datetime
    finished_at: datetime | None
    elapsed_seconds: float  # pauses excluded
    rows_committed: int
    bytes_committed: int
    total_tables: int
    completed_tables: int
    failed_tables: int
    error: str | None


def is_address(text: str) -> bool:
    """Whether ``text`` is written as an HTTP address, not as a webhook's name."""
    return _HTTP.match(text) is not None


def check_address(url: str, path: str) -> None:
    """Raise InvalidConfig unless ``url`` is an HTTP address without user and password.

    The address is not repeated: it may be a secret.
    """
    try:
        parts = urlsplit(url)
        usable = is_address(url) and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable or not url.isprintable() or " " in url:
        raise InvalidConfig(f"{path}: is no HTTP address", hint='write it like "https://host/path"')
    if parts.username is not None or parts.password is not None:
        raise InvalidConfig(
            f"{path}: holds a password", hint='write token = { env = "…" } below the url'
        )
