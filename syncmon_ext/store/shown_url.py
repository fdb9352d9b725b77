"""A database's URL without its secrets, in its user part and in its query."""

from __future__ import annotations

from typing import Final

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

HIDDEN: Final = "***"
# Parameters that hold a secret in libpq, or lead to one.
_TELLING: Final = ("password", "sslpassword", "passfile", "sslkey", "oauth_client_secret")
_SECRETS: Final = ("password", "sslpassword", "oauth_client_secret")


def masked(url: str | URL) -> str:
    """``url`` as it may be shown."""
    try:
        parts = make_url(url)
    except (ArgumentError, ValueError):
        return "(not a URL)"
    hidden = {key: HIDDEN for key in _TELLING if key in parts.query}
    if hidden:
        parts = parts.update_query_dict(hidden)
    return parts.render_as_string(hide_password=True)


def without_secrets(url: str | URL) -> str:
    """``url`` as others may use it who have the secrets themselves, such as in ``~/.pgpass``.

    Where it cannot be read, nothing of it is left.
    """
    try:
        parts = make_url(url)
    except (ArgumentError, ValueError):
        return ""
    kept = parts._replace(password=None).difference_update_query(_SECRETS)
    return kept.render_as_string(hide_password=False)
