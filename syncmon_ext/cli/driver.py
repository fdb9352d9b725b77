"""Whether PostgreSQL's driver can be loaded: without it, neither the engine nor most commands can."""

from __future__ import annotations

from typing import Final

DRIVER_HINT: Final = "pip install 'psycopg[binary]'"


def driver_trouble() -> str | None:
    """What keeps the driver from being loaded; None where nothing does."""
    try:
        import psycopg  # noqa: F401  # it looks for libpq when it is loaded
    except ImportError as error:
        return f"the driver cannot be loaded: {error}"
    return None
