"""A replace deletes no rows but those of its table: through foreign keys and partitions neither."""

from __future__ import annotations

import pytest

from syncmon_ext.model.errors import CopyFailed
from syncmon_ext.sync.databases import sessions
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


@pytest.mark.parametrize("swap", ["rename", "move"])
def test_cascade_made_after_the_plan_is_refused(database: Maker, swap: str) -> None:
    source, target = database("postgresql"), database("postgresql")
    new_rows(source, "t")
    target.run("CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t VALUES (1, 'old')")
    if swap == "move":
        target.run("GRANT SELECT ON t TO PUBLIC")
    copy = Copy(source, target, tables=["t"])
    (unit,) = copy.units
    assert unit.swap == swap
    with copy.claimed():
        copy.copy_all(unit, 10)
        target.run(
            "CREATE TABLE child (t int REFERENCES t ON DELETE CASCADE)",
            "INSERT INTO child VALUES (1)",
        )
        with pytest.raises(CopyFailed, match=r"changed since .* change rows of child \(CASCADE\)"):
            copy.swap(unit)
        assert target.query("SELECT t FROM child") == [(1,)]
        target.run("ALTER TABLE child DROP CONSTRAINT child_t_fkey")
        copy.swap(unit)
    sessions.close_all()
    assert target.query("SELECT t FROM child") == [(1,)]
    assert target.query("SELECT id, v FROM t ORDER BY id") == [(1, "new"), (2, "new")]


def test_triggers_that_a_replace_fires_are_told_of(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    new_rows(source, "t")
    target.run(
        "CREATE TABLE t (id int PRIMARY KEY, v text)",
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE TRIGGER gone AFTER DELETE ON t FOR EACH ROW EXECUTE FUNCTION f()",
        "CREATE TRIGGER came AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
        "CREATE TRIGGER changed AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()",
    )
    came = "triggers of the target fire for each row: came; they may change it"
    gone = (
        "triggers of the target fire when its old rows are deleted: gone; "
        "they may change other tables"
    )
    for mode, told in (("replace", [came, gone]), ("append", [came]), ("merge", [came])):
        copy = Copy(source, target, tables=["t"], mode=mode)
        assert [w for w in copy.units[0].warnings if "triggers" in w] == told


@pytest.mark.parametrize("meanwhile", [False, True])
def test_table_that_others_inherit_from_is_not_replaced(database: Maker, meanwhile: bool) -> None:
    source, target = database("postgresql"), database("postgresql")
    new_rows(source, "t")
    target.run("CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t VALUES (1, 'old')")
    heir = ("CREATE TABLE heir (extra int) INHERITS (t)", "INSERT INTO heir VALUES (5, 'heir', 42)")
    why = "delete the rows of public.heir that are read as its own"
    if not meanwhile:
        target.run(*heir)
        (error,) = errors(Copy(source, target, tables=["t"]))
        assert why in error
        Copy(source, target, tables=["t"], mode="merge").run()
    else:
        copy = Copy(source, target, tables=["t"])
        with copy.claimed():
            copy.copy_all(copy.units[0], 10)
            target.run(*heir)
            with pytest.raises(CopyFailed, match=why):
                copy.swap(copy.units[0])
        sessions.close_all()
    assert target.query("SELECT * FROM heir") == [(5, "heir", 42)]
