"""A target that holds rows which the task reads, or that two tables share, is refused."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from syncmon_ext.model.connection import Connection
from syncmon_ext.sync.databases import sessions
from tests.faults.proxy import Cut, CuttingProxy
from tests.sync.copying import Copy, errors
from tests.sync.databases import PARENTS, Database, Maker


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_same_table_as_source_and_target_is_refused(database: Maker, dialect: str) -> None:
    source = database(dialect)
    source.run(*PARENTS)
    assert "holds rows that this task reads" in errors(Copy(source, source, tables=["parent"]))[0]
    table = {"name": "parent", "target": "twin"}
    assert errors(Copy(source, source, tables=[table])) == []
    Copy(source, source, tables=[table]).run()
    assert "twin" in source.tables()


def test_same_file_by_another_name_is_the_same(database: Maker, tmp_path: Path) -> None:
    source = database("sqlite")
    source.run(*PARENTS)
    path = Path(source.path)
    (tmp_path / "deep").mkdir()
    (tmp_path / "link.db").symlink_to(path)
    (tmp_path / "hard.db").hardlink_to(path)
    (tmp_path / "folder").symlink_to(path.parent)
    for other in ("link.db", "hard.db", f"folder/{path.name}", f"deep/../{path.name}"):
        connection = Connection(name="other", url=f"sqlite:///{tmp_path / other}")
        copy = Copy(source, Database(connection), tables=["parent"])
        assert "holds rows that this task reads" in errors(copy)[0], other


def test_same_database_by_another_address_is_the_same(database: Maker) -> None:
    source = database("postgresql")
    source.run("CREATE SCHEMA sales", "CREATE TABLE sales.t (id int PRIMARY KEY)")
    name = make_url(source.connection.url).database
    folder = source.query("SHOW unix_socket_directories")[0][0]
    proxy = CuttingProxy(f"{folder}/.s.PGSQL.5432", Cut(times=0))
    with closing(proxy):
        for host in ("127.0.0.1", "localhost"):
            url = f"postgresql://postgres@{host}:{proxy.port}/{name}?sslmode=disable"
            other = Database(Connection(name="other", url=url))
            table = {"name": "t", "schema": "sales"}
            assert (
                "holds rows that this task reads" in errors(Copy(source, other, tables=[table]))[0]
            )
            # The search path finds the same table without its schema's name.
            source.run(f"ALTER ROLE postgres IN DATABASE {name} SET search_path = sales")
            sessions.close_all()  # those that are open have the old one
            assert "holds rows that this task reads" in errors(Copy(source, other, tables=["t"]))[0]
            source.run(f"ALTER ROLE postgres IN DATABASE {name} RESET search_path")
            sessions.close_all()


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_target_that_a_source_reads_through_a_view_is_refused(
    database: Maker, dialect: str
) -> None:
    source = database(dialect)
    source.run(
        *PARENTS,
        "CREATE VIEW several AS SELECT id FROM parent WHERE id > 1",
        "CREATE VIEW few AS SELECT id FROM several WHERE id > 2",
    )
    copy = Copy(source, source, tables=[{"name": "few", "target": "parent"}])
    assert "parent holds rows that this task reads as few" in errors(copy)[0]
    assert errors(Copy(source, source, tables=[{"name": "few", "target": "child2"}])) == []


def test_target_that_shares_partitions_with_a_source_is_refused(database: Maker) -> None:
    source = database("postgresql")
    source.run(
        "CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id)",
        "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (50)",
        "CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (50) TO (1000)",
        "CREATE TABLE base (id int PRIMARY KEY)",
        "CREATE TABLE heir () INHERITS (base)",
    )
    for name, target in (("t", "t1"), ("t1", "t"), ("base", "heir")):
        copy = Copy(source, source, tables=[{"name": name, "target": target}])
        assert f"{target} holds rows that this task reads as {name}" in errors(copy)[0]
    assert errors(Copy(source, source, tables=[{"name": "t1", "target": "t2"}])) == []


def test_two_tables_into_one_are_refused(database: Maker) -> None:
    source, target = database("sqlite"), database("sqlite")
    source.run(*PARENTS)
    copy = Copy(source, target, tables=["parent", {"name": "child", "target": "PARENT"}])
    assert all("two tables of this task go to" in error for error in errors(copy))
    assert len(errors(copy)) == 2


def test_partition_and_its_parent_are_not_both_replaced(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run("CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (id int PRIMARY KEY)")
    source.insert("a", [(1,), (150,)])
    source.insert("b", [(50,)])
    target.run(
        "CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id)",
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100) PARTITION BY RANGE (id)",
        "CREATE TABLE p11 PARTITION OF p1 FOR VALUES FROM (0) TO (100)",
        "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (200)",
    )
    for leaf in ("p1", "p11"):
        tables = [{"name": "a", "target": "p"}, {"name": "b", "target": leaf}]
        whole, part = errors(Copy(source, target, tables=tables))
        assert f"rows of public.p are rows of {leaf}, which this task replaces as well" in whole
        assert f"rows of public.{leaf} are rows of p" in part
        assert errors(Copy(source, target, tables=tables, mode="append")) == []
    siblings = [
        {"name": "a", "target": "p2", "where": {"id": 150}},
        {"name": "b", "target": "p11"},
    ]
    Copy(source, target, tables=siblings).run()
    assert target.query("SELECT id FROM p ORDER BY id") == [(50,), (150,)]
