"""Tables that point to each other are put in place together, with their foreign keys."""

from __future__ import annotations

import pytest

from tests.sync.copying import Copy, owner
from tests.sync.databases import Database, Maker

TABLES = ["a", "b", "c"]


def circle(db: Database) -> None:
    """a -> b -> c -> a, none of them deferrable, and c points to itself too."""
    if db.dialect == "sqlite":
        for table, other in (("a", "b"), ("b", "c"), ("c", "a")):
            db.run(
                f"CREATE TABLE {table} (id INTEGER NOT NULL PRIMARY KEY, "
                f"up INTEGER REFERENCES {other} (id), own INTEGER REFERENCES {table} (id))"
            )
        return
    for table in TABLES:
        db.run(f"CREATE TABLE {table} (id integer PRIMARY KEY, up integer, own integer)")
    for table, other in (("a", "b"), ("b", "c"), ("c", "a")):
        db.run(
            f"ALTER TABLE {table} ADD CONSTRAINT {table}_up FOREIGN KEY (up) REFERENCES {other} (id)",
            f"ALTER TABLE {table} ADD FOREIGN KEY (own) REFERENCES {table} (id)",
        )


def fill(db: Database, shift: int) -> None:
    for table in TABLES:
        db.insert(table, [(n + shift, None, None) for n in range(20)])
    for table in TABLES:
        db.run(f"UPDATE {table} SET up = id, own = {shift} WHERE id > {shift + 3}")


@pytest.mark.parametrize("target_dialect", ["sqlite", "postgresql"])
@pytest.mark.parametrize("source_dialect", ["sqlite", "postgresql"])
def test_circle_of_foreign_keys_is_made_and_replaced(
    database: Maker, source_dialect: str, target_dialect: str
) -> None:
    source, target = database(source_dialect), database(target_dialect)
    circle(source)
    fill(source, 0)
    for run in ("made", "replaced"):
        copy = Copy(source, target, owner(run=run), tables=TABLES)
        assert {len(unit.tied_to) for unit in copy.units} == {2}
        copy.run(7)
        for table in TABLES:
            rows = f"SELECT id, up, own FROM {table} ORDER BY id"
            assert target.query(rows) == source.query(rows)
        for table in TABLES:  # other keys, so that no old row may be pointed to
            source.run(f"UPDATE {table} SET up = NULL, own = NULL")
        for table in TABLES:
            source.run(f"DELETE FROM {table}")
        fill(source, 100)
    if target_dialect == "postgresql":
        made = target.query(
            "SELECT count(*), count(*) FILTER (WHERE convalidated) FROM pg_constraint "
            "WHERE contype = 'f'"
        )
        # Rows of SQLite may break its keys: they are made for what comes later.
        assert made == [(6, 6 if source_dialect == "postgresql" else 0)]
        with pytest.raises(Exception, match="foreign key"):
            target.run("INSERT INTO a VALUES (999, 998, NULL)")


def test_what_is_set_of_the_keys_of_a_circle_survives(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    for db in (source, target):
        circle(db)
        fill(db, 0)
    target.run(
        "COMMENT ON CONSTRAINT a_up ON a IS $$it's \\kept%$$",
        "ALTER TABLE a DISABLE TRIGGER ALL",
        "DO $$ DECLARE name text; BEGIN FOR name IN "
        "SELECT tgname FROM pg_trigger WHERE tgrelid = 'b'::regclass "
        "LOOP EXECUTE format('ALTER TABLE b ENABLE ALWAYS TRIGGER %I', name); END LOOP; END $$",
    )
    settings = (
        "SELECT tgrelid::regclass::text, tgfoid::regproc::text, conname, tgenabled, "
        "obj_description(con.oid, 'pg_constraint'), pg_get_constraintdef(con.oid) "
        "FROM pg_trigger g JOIN pg_constraint con ON con.oid = tgconstraint ORDER BY 1, 2, 3"
    )
    before = target.query(settings)
    assert {row[3] for row in before} == {"D", "A", "O"}
    Copy(source, target, tables=TABLES).run()
    assert target.query(settings) == before
