"""syncmon: copy database tables from Jupyter, and see and steer the copies live.

Importing this package loads no server: the extension hook imports it when Jupyter asks.
"""

from __future__ import annotations

from typing import Any

from syncmon_ext._version import __version__

__all__ = ["__version__"]


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Name the extension to Jupyter Server; the server part is imported only here."""
    from syncmon_ext.app import SyncmonApp

    return [{"module": "syncmon_ext.app", "app": SyncmonApp}]
