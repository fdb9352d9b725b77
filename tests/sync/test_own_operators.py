"""Types that an extension brought compare by operators of their own, which a chunk's range must not miss."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy.engine import make_url

from syncmon_ext.model.connection import Connection
from syncmon_ext.sync.databases import sessions
from tests.debian_server import GROUP, debian_database
from tests.sync.copying import Copy, errors
from tests.sync.databases import Database, Maker

pytestmark = pytest.mark.xdist_group(GROUP)


@pytest.fixture
def source() -> Iterator[Database]:
    """A database with citext, and a table whose key is of that type."""
    with debian_database() as url:
        db = Database(Connection(name=str(make_url(url).database), url=url))
        db.run(
            "CREATE EXTENSION citext",
            "CREATE DOMAIN folded AS citext",
            "CREATE TABLE t (k citext PRIMARY KEY, v int)",
            "CREATE TABLE d (k folded NOT NULL UNIQUE, v int)",
        )
        rows = [(f"{'kK'[n % 2]}{n}", n) for n in range(400)]
        for table in ("t", "d"):
            db.insert(table, [*rows, ("ZZZ", 1), ("aaa", 2), ("zz", 3)])
        yield db
        sessions.close_all()


@pytest.mark.parametrize("table", ["t", "d"])
@pytest.mark.parametrize("mode", ["replace", "append"])
def test_every_row_is_copied(source: Database, database: Maker, table: str, mode: str) -> None:
    target = database("sqlite")
    Copy(source, target, tables=[table], mode=mode).run(50)
    asked = f"SELECT k, v FROM {table} ORDER BY v, k"
    assert sorted(target.query(asked)) == sorted(source.query(asked))


@pytest.mark.parametrize("table", ["t", "d"])
def test_filter_by_such_a_column_is_refused(source: Database, database: Maker, table: str) -> None:
    tables = [{"name": table, "where": {"k": "zzz"}}]
    assert "operators of its own" in errors(Copy(source, database("sqlite"), tables=tables))[0]
