"""Settings that a view of PostgreSQL may go by: it is read with those that a copy needs."""

from __future__ import annotations

from typing import Final

from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sessions import AnySession
from syncmon_ext.sync.databases.settings import SETTINGS
from syncmon_ext.sync.reflect.shape import TableShape

_FELT: Final = ("TimeZone", "DateStyle", "IntervalStyle", "bytea_output")
_UTC: Final = ("utc", "gmt", "uct", "zulu", "universal", "greenwich", "gmt0", "gmt+0", "gmt-0")
_VIEW: Final = """
SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %s AND c.relname = %s AND c.relkind = 'v'
"""


def warnings(session: AnySession, shape: TableShape) -> list[str]:
    """What to know of a view that the role itself would read with other settings."""
    if not isinstance(session, PostgresSession) or shape.kind != "view":
        return []
    others = [name for name in _FELT if _meant(name, session.usual[name]) != SETTINGS[name]]
    # What a materialised view holds was computed long ago.
    if not others or not session.execute(_VIEW, (shape.schema, shape.name)):
        return []
    read, usual = (
        ", ".join(f"{name} = {settings[name]}" for name in others)
        for settings in (SETTINGS, session.usual)
    )
    return [
        f"the view is read with {read}, and not with the role's {usual}: days and texts that it makes of "
        "other values may differ from what the role sees; let the view say which it means, such as "
        "moment AT TIME ZONE '…'"
    ]


def _meant(name: str, value: str) -> str:
    """``value``, as SETTINGS has it where both mean the same of what is written."""
    if name == "TimeZone" and value.lower().removeprefix("etc/") in _UTC:
        return SETTINGS[name]
    if name == "DateStyle" and value.startswith(
        "ISO"
    ):  # the order is the role's own, see PostgresSession
        return SETTINGS[name]
    return value
