"""Servers of different versions: what the newer one has is told from what the older one can hold."""

from __future__ import annotations

import psycopg
import pytest

from syncmon_ext.model.connection import Connection
from syncmon_ext.model.errors import BadRow
from syncmon_ext.sync.databases import sessions
from syncmon_ext.sync.routes.postgresql_postgresql import ENDLESS_INTERVALS
from tests.debian_server import GROUP, debian_database
from tests.sync.copying import Copy, owner
from tests.sync.databases import Database, Maker

pytestmark = pytest.mark.xdist_group(GROUP)


def version(db: Database) -> int:
    with psycopg.connect(db.connection.url) as pg:
        return pg.info.server_version


def test_infinite_interval_is_refused_by_a_server_that_has_none(database: Maker) -> None:
    with debian_database() as url:
        source, target = database("postgresql"), Database(Connection(name="old", url=url))
        if not version(target) < ENDLESS_INTERVALS <= version(source):
            pytest.skip("both servers have infinite intervals, or neither")
        source.run("CREATE TABLE t (id int PRIMARY KEY, v interval)")
        source.insert("t", [(1, "1 day"), (2, "infinity")])
        with pytest.raises(BadRow, match="interval"):
            Copy(source, target, tables=["t"]).run()
        source.run("DELETE FROM t WHERE id = 2")
        Copy(source, target, owner(token=2), tables=["t"]).run()
        assert target.query("SELECT id, v::text FROM t") == [(1, "1 day")]
        sessions.close_all()
