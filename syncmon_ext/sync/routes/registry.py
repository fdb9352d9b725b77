"""Which route a pair of databases takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from syncmon_ext.sync.routes import (
    postgresql_postgresql,
    postgresql_sqlite,
    sqlite_postgresql,
    sqlite_sqlite,
)
from syncmon_ext.sync.routes.base import Route

ROUTES: Final[Mapping[str, Route]] = {
    "sqlite_sqlite": sqlite_sqlite.opened,
    "sqlite_postgresql": sqlite_postgresql.opened,
    "postgresql_sqlite": postgresql_sqlite.opened,
    "postgresql_postgresql": postgresql_postgresql.opened,
}
