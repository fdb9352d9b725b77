"""The text of xml, which PostgreSQL does not write as it keeps it; the wheel's PostgreSQL has no xml."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from sqlalchemy.engine import make_url

from syncmon_ext.model.connection import Connection
from syncmon_ext.sync.databases import sessions
from tests.debian_server import GROUP, debian_database
from tests.sync.copying import Copy, errors, owner
from tests.sync.databases import Database, Maker

pytestmark = pytest.mark.xdist_group(GROUP)
DOCUMENTS = [
    '<?xml version="1.0"?><a/>',
    '<?xml version="1.0" encoding="UTF-8" standalone="yes"?><a>é</a>',
    '<?xml version="1.0" encoding="ISO-8859-1"?>\n<a>\t\\</a>\n',
    "  <a/>",
    "<a/><b/>",
    "",
]
_WRITTEN = "SELECT id, v::text, array_to_string(w::text[], '|') FROM t ORDER BY id"


@pytest.fixture
def xml_database() -> Iterator[Callable[[], Database]]:
    with ExitStack() as stack:

        def make() -> Database:
            url = stack.enter_context(debian_database())
            return Database(Connection(name=str(make_url(url).database), url=url))

        yield make
        sessions.close_all()


def filled(source: Database) -> Database:
    source.run("CREATE TABLE t (id int PRIMARY KEY, v xml, w xml[])")
    source.insert("t", [(n, text, [text, text]) for n, text in enumerate(DOCUMENTS)])
    source.run("INSERT INTO t VALUES (99, NULL, NULL), (100, '<a/>', '{NULL}')")
    return source


def test_declaration_of_xml_is_kept(xml_database: Callable[[], Database]) -> None:
    source, target = filled(xml_database()), xml_database()
    for number in range(2):  # into a new table, and into one that is there
        Copy(source, target, owner(run=f"run{number}"), tables=["t"]).run(2)
        assert target.query(_WRITTEN) == source.query(_WRITTEN)


def test_declaration_of_xml_is_kept_by_sqlite(
    xml_database: Callable[[], Database], database: Maker
) -> None:
    source, middle, back = filled(xml_database()), database("sqlite"), xml_database()
    tables = [{"name": "t", "columns": ["id", "v"]}]
    Copy(source, middle, tables=tables).run(2)
    texts = source.query("SELECT id, v::text FROM t ORDER BY id")
    assert middle.query("SELECT id, v FROM t ORDER BY id") == texts
    back.run("CREATE TABLE t (id int PRIMARY KEY, v xml)")
    Copy(middle, back, tables=tables).run(2)
    assert back.query("SELECT id, v::text FROM t ORDER BY id") == texts


@pytest.mark.parametrize(
    "made", ["CREATE DOMAIN holder AS xml", "CREATE TYPE holder AS (a int, x xml[])"]
)
def test_xml_within_another_type_is_told_to_be_lossy(
    xml_database: Callable[[], Database], database: Maker, made: str
) -> None:
    source, target = xml_database(), xml_database()
    for db in (source, target):
        db.run(made, "CREATE TABLE t (id int PRIMARY KEY, v holder)")
    for into in (target, database("sqlite")):
        assert "v would not survive: xml within" in errors(Copy(source, into, tables=["t"]))[0]
