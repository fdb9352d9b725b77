"""A replace deletes no rows but those of its table: through foreign keys and partitions neither."""

from __future__ import annotations

import pytest

from tests.sync.copying import Copy, errors
from tests.sync.databases import Database, Maker

PARTITIONED = (
    "CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)",
    "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100)",
    "INSERT INTO p VALUES (1, 'old'), (2, 'old')",
)


def new_rows(db: Database, table: str) -> None:
    db.run(f"CREATE TABLE {table} (id int PRIMARY KEY, v text)")
    db.insert(table, [(1, "new"), (2, "new")])


@pytest.mark.parametrize("rule", ["CASCADE", "SET NULL", "SET DEFAULT"])
@pytest.mark.parametrize(("replaced", "pointed"), [("p1", "p"), ("p", "p1"), ("p", "p")])
def test_cascade_through_a_partition_is_refused(
    database: Maker, replaced: str, pointed: str, rule: str
) -> None:
    source, target = database("postgresql"), database("postgresql")
    new_rows(source, replaced)
    target.run(
        *PARTITIONED,
        f"CREATE TABLE c (up int REFERENCES {pointed} ON DELETE {rule}) PARTITION BY RANGE (up)",
        "CREATE TABLE c1 PARTITION OF c DEFAULT",
    )
    (error,) = errors(Copy(source, target, tables=[replaced]))
    assert f"replacing {replaced} would change rows of c ({rule})" in error


def test_cascade_within_a_partitioned_table_is_its_own(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    new_rows(source, "p")
    target.run(
        *PARTITIONED,
        "ALTER TABLE p ADD up int",
        "ALTER TABLE p ADD FOREIGN KEY (up) REFERENCES p ON DELETE CASCADE",
        "UPDATE p SET up = 1",
    )
    Copy(source, target, tables=["p"]).run()
    assert target.query("SELECT id, v FROM p ORDER BY id") == [(1, "new"), (2, "new")]
