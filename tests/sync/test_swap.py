"""What hangs on a target table survives the swap, or the table is refused."""

from __future__ import annotations

import pytest

from syncmon_ext.model.errors import CopyFailed
from syncmon_ext.sync import jobs
from syncmon_ext.sync.databases import sessions
from tests.sync.copying import Copy, errors, owner
from tests.sync.databases import Maker


def test_what_hangs_on_a_table_is_named_and_survives(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run("CREATE TABLE t (id int PRIMARY KEY, v text)")
    source.insert("t", [(n, "new") for n in range(10)])
    target.run(
        "CREATE TABLE t (id int PRIMARY KEY, v text)",
        "INSERT INTO t VALUES (100, 'old')",
        "CREATE INDEX by_v ON t (v)",
    )
    assert Copy(source, target, tables=["t"]).units[0].swap == "rename"
    target.run(
        "CREATE VIEW seen AS SELECT v FROM t",
        "CREATE MATERIALIZED VIEW kept AS SELECT v FROM t",
        "CREATE TABLE inbound (t int REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED)",
        "CREATE POLICY mine ON t USING (true)",
        "CREATE PUBLICATION pub FOR TABLE t",
        "GRANT SELECT ON t TO PUBLIC",
    )
    copy = Copy(source, target, tables=["t"])
    assert copy.units[0].swap == "move"
    for part in ("view seen", "materialised view kept", "policy mine", "publication pub", "grants"):
        assert part in copy.units[0].swap_reason
    oid = target.query("SELECT 't'::regclass::oid")
    copy.run()
    assert target.query("SELECT 't'::regclass::oid") == oid
    assert sorted(target.query("SELECT * FROM seen")) == [("new",)] * 10
    assert target.query("SELECT count(*) FROM pg_indexes WHERE indexname = 'by_v'") == [(1,)]


SETTINGS = {
    "index comment": "COMMENT ON INDEX by_v IS 'kept'",
    "key comment": "COMMENT ON CONSTRAINT t_pkey ON t IS 'kept'",
    "cluster": "ALTER TABLE t CLUSTER ON by_v",
    "statistics target": "ALTER TABLE t ALTER v SET STATISTICS 500",
    "statistics target of an index": "ALTER INDEX by_lower ALTER COLUMN 1 SET STATISTICS 300",
    "column options": "ALTER TABLE t ALTER v SET (n_distinct = 5)",
    "extended statistics": "CREATE STATISTICS of_both ON id, v FROM t",
    "key options": "ALTER INDEX t_pkey SET (fillfactor = 70)",
    "toast options": "ALTER TABLE t SET (toast.autovacuum_enabled = false)",
    "replica identity": "ALTER TABLE t REPLICA IDENTITY FULL",
    "forced policies": "ALTER TABLE t FORCE ROW LEVEL SECURITY",
    "type": "ALTER TABLE t OF kind",
    "rule": "CREATE RULE noted AS ON UPDATE TO t DO ALSO NOTHING",
    "no grants": "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
    "deferred key": "ALTER TABLE t ADD CONSTRAINT other UNIQUE (v) DEFERRABLE INITIALLY DEFERRED",
    "exclusion": "ALTER TABLE t ADD CONSTRAINT other EXCLUDE USING btree (v WITH =)",
    "exclusion comment": "ALTER TABLE t ADD CONSTRAINT other EXCLUDE USING btree (v WITH =); "
    "COMMENT ON CONSTRAINT other ON t IS 'kept'",
    "extension of an index": "ALTER INDEX by_v DEPENDS ON EXTENSION plpgsql",
    "NOT NULL of rows that break it": "ALTER TABLE t ADD CONSTRAINT filled NOT NULL v NOT VALID",
}
_SET = """
SELECT c.relname, c.reloptions::text, c.relreplident::text, c.relforcerowsecurity, c.relhasrules,
       c.reloftype::regtype::text, c.relacl::text, obj_description(c.oid, 'pg_class'),
       (SELECT o.reloptions::text FROM pg_class o WHERE o.oid = c.reltoastrelid),
       pg_get_indexdef(c.oid), i.indisclustered,
       ARRAY(SELECT format('%s %s %s', a.attname, a.attstattarget, a.attoptions) FROM pg_attribute a
             WHERE a.attrelid = c.oid AND a.attnum > 0 ORDER BY 1),
       ARRAY(SELECT format('%s %s %s', k.conname, pg_get_constraintdef(k.oid),
                           obj_description(k.oid, 'pg_constraint'))
             FROM pg_constraint k WHERE k.conrelid = c.oid ORDER BY 1),
       ARRAY(SELECT s.stxname::text FROM pg_statistic_ext s WHERE s.stxrelid = c.oid),
       EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'x')
FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid
WHERE c.oid = 't'::regclass OR i.indrelid = 't'::regclass ORDER BY 1
"""


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_settings_of_a_replaced_table_survive(database: Maker, setting: str) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run("CREATE TABLE t (id int PRIMARY KEY, v text)")
    source.insert("t", [(n, f"new {n}") for n in range(10)])
    target.run(
        "CREATE TYPE kind AS (id int, v text)",
        "CREATE TABLE t (id int PRIMARY KEY, v text)",
        "INSERT INTO t VALUES (100, 'old')",
        "CREATE INDEX by_v ON t (v)",
        "CREATE INDEX by_lower ON t (lower(v))",
    )
    plain = target.query(_SET)
    target.run(setting)
    before = target.query(_SET)
    assert (before != plain) is not setting.startswith("ALTER DEFAULT")
    Copy(source, target, tables=["t"]).run(4)
    assert target.query(_SET) == before
    assert sorted(target.query("SELECT id FROM t")) == [(n,) for n in range(10)]


ELSEWHERE = {
    "constraint trigger": (
        "trigger noted",
        "CREATE CONSTRAINT TRIGGER noted AFTER INSERT ON y FROM t FOR EACH ROW "
        "EXECUTE FUNCTION noted()",
        "SELECT tgname FROM pg_trigger WHERE tgconstrrelid = 't'::regclass AND NOT tgisinternal",
    ),
    "subscription": (
        "a subscription",
        "INSERT INTO pg_subscription_rel (srsubid, srrelid, srsubstate) "
        "VALUES (4711, 't'::regclass, 'r')",
        "SELECT srsubid FROM pg_subscription_rel WHERE srrelid = 't'::regclass",
    ),
    "policy": (
        "policy mine",
        "CREATE POLICY mine ON y USING (EXISTS (SELECT FROM t WHERE t.id = y.id))",
        "SELECT polname FROM pg_policy WHERE pg_get_expr(polqual, polrelid) LIKE '%FROM t%'",
    ),
    "column of its arrays": (
        "use of its row type",
        "ALTER TABLE y ADD several t[]",
        "SELECT attname FROM pg_attribute WHERE atttypid = 't[]'::regtype",
    ),
    "function of its arrays": (
        "use of its row type",
        "CREATE FUNCTION counted(t[]) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "SELECT proname FROM pg_proc WHERE proargtypes[0] = 't[]'::regtype",
    ),
}


@pytest.mark.parametrize(("what", "made", "kept"), ELSEWHERE.values(), ids=ELSEWHERE)
def test_what_others_have_of_a_replaced_table_survives(
    database: Maker, what: str, made: str, kept: str
) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1), (2)")
    target.run(
        "CREATE TABLE t (id int PRIMARY KEY)",
        "INSERT INTO t VALUES (7)",
        "CREATE TABLE y (id int)",
        "CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        made,
    )
    before = target.query(kept)
    assert before
    copy = Copy(source, target, tables=["t"])
    assert copy.units[0].swap == "move"
    assert what in copy.units[0].swap_reason
    copy.run()
    assert target.query(kept) == before
    assert sorted(target.query("SELECT id FROM t")) == [(1,), (2,)]


def test_view_made_after_the_plan_still_survives(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run("CREATE TABLE t (id int PRIMARY KEY)")
    source.insert("t", [(1,), (2,)])
    target.run("CREATE TABLE t (id int PRIMARY KEY)")
    copy = Copy(source, target, tables=["t"])
    assert copy.units[0].swap == "rename"
    target.run("CREATE VIEW seen AS SELECT id FROM t")
    copy.run()
    assert sorted(target.query("SELECT * FROM seen")) == [(1,), (2,)]


def test_cascading_foreign_key_of_another_table_is_refused(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run("CREATE TABLE t (id int PRIMARY KEY)")
    target.run(
        "CREATE TABLE t (id int PRIMARY KEY)",
        "CREATE TABLE other (t int REFERENCES t (id) ON DELETE CASCADE)",
    )
    assert "other (CASCADE)" in errors(Copy(source, target, tables=["t"]))[0]


def test_identity_and_serial_go_on_after_the_copied_rows(database: Maker) -> None:
    source = database("postgresql")
    source.run(
        "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, s serial, v text, "
        "g text GENERATED ALWAYS AS (upper(v)) STORED)",
        "INSERT INTO t (v) SELECT 'v' || n FROM generate_series(1, 30) n",
    )
    for existing in (False, True):
        target = database("postgresql")
        if existing:
            target.run(
                "CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, s serial, v text, "
                "g text GENERATED ALWAYS AS (upper(v)) STORED)"
            )
        Copy(source, target, tables=["t"]).run(7)
        target.run("INSERT INTO t (v) VALUES ('next')")
        assert target.query("SELECT id, s, g FROM t ORDER BY id DESC LIMIT 1") == [(31, 31, "NEXT")]
        assert target.query("SELECT * FROM t WHERE id < 31 ORDER BY id") == source.query(
            "SELECT * FROM t ORDER BY id"
        )


def test_indexes_triggers_and_autoincrement_of_sqlite_survive(database: Maker) -> None:
    source, target = database("sqlite"), database("sqlite")
    source.run(
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, v TEXT COLLATE NOCASE UNIQUE, "
        "CHECK (v <> 'x'))",
        "CREATE INDEX half ON t (v DESC) WHERE v > 'a'",
        "CREATE INDEX [odd name] ON t (lower(v))",
    )
    source.insert("t", [(n, f"v{n}") for n in range(1, 20)])
    for run in ("first", "second"):
        Copy(source, target, owner(run=run), tables=["t"]).run(5)
        if run == "first":
            target.run(
                "CREATE TRIGGER no_delete BEFORE DELETE ON t BEGIN SELECT RAISE(ABORT, 'no'); END"
            )
        shape = (
            "SELECT type, name, substr(sql, instr(sql, '(')) FROM sqlite_schema "
            "WHERE name NOT LIKE '%syncmon%' AND type <> 'trigger'"
        )
        assert set(target.query(shape)) == set(source.query(shape))
        with pytest.raises(Exception, match="no"):
            target.run("DELETE FROM t")
    target.run("INSERT INTO t (v) VALUES ('z')")
    assert target.query("SELECT max(id) FROM t") == [(20,)]


def test_partitioned_tables_are_read_and_filled(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    for db in (source, target):
        db.run(
            "CREATE TABLE t (id int PRIMARY KEY, v text) PARTITION BY RANGE (id)",
            "CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (50)",
            "CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (50) TO (1000)",
        )
    source.insert("t", [(n, "new") for n in range(100)])
    target.insert("t", [(n, "old") for n in range(200)])
    Copy(source, target, tables=["t"]).run(30)
    assert target.query("SELECT * FROM t ORDER BY id") == [(n, "new") for n in range(100)]
    assert target.query("SELECT count(*) FROM t1") == [(50,)]


def test_cascade_of_a_table_of_the_same_name_is_refused_too(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run("CREATE TABLE t (id int PRIMARY KEY)")
    target.run(
        "CREATE TABLE t (id int PRIMARY KEY)",
        "CREATE SCHEMA archive",
        "CREATE TABLE archive.t (up int REFERENCES public.t (id) ON DELETE CASCADE)",
    )
    assert "t (CASCADE)" in errors(Copy(source, target, tables=["t"]))[0]


HOLDS_BACK = {
    "trigger": (
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE TRIGGER keep BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION keep()",
    ),
    "rule": ("CREATE RULE keep AS ON DELETE TO t DO INSTEAD NOTHING",),
}


@pytest.mark.parametrize("made", HOLDS_BACK.values(), ids=HOLDS_BACK)
def test_rows_that_a_delete_leaves_there_fail_the_swap(
    database: Maker, made: tuple[str, ...]
) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run("CREATE TABLE t (id int, v text)")
    source.insert("t", [(1, "new")])
    target.run("CREATE TABLE t (id int, v text)", "INSERT INTO t VALUES (7, 'old')", *made)
    with pytest.raises(CopyFailed, match="rows stay in it after a DELETE"):
        Copy(source, target, tables=["t"]).run()
    assert target.query("SELECT * FROM t") == [(7, "old")]


def test_column_and_check_added_meanwhile_survive(database: Maker) -> None:
    for dialect in ("postgresql", "sqlite"):
        source, target = database(dialect), database(dialect)
        source.run("CREATE TABLE t (id int PRIMARY KEY, v text)")
        source.insert("t", [(1, "new"), (2, "new")])
        target.run("CREATE TABLE t (id int PRIMARY KEY, v text)", "INSERT INTO t VALUES (7, 'old')")
        copy = Copy(source, target, tables=["t"])
        (unit,) = copy.units
        assert unit.swap == "rename"
        with copy.claimed():
            copy.copy_all(unit, 10)
            target.run("ALTER TABLE t ADD COLUMN note text DEFAULT 'kept'")
            copy.swap(unit)
        sessions.close_all()
        rows = target.query("SELECT id, v, note FROM t ORDER BY id")
        assert rows == [(1, "new", "kept"), (2, "new", "kept")]


def test_check_added_meanwhile_holds(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run("CREATE TABLE t (id int PRIMARY KEY, v text)")
    source.insert("t", [(1, "longer than two")])
    target.run("CREATE TABLE t (id int PRIMARY KEY, v text)")
    copy = Copy(source, target, tables=["t"])
    (unit,) = copy.units
    with copy.claimed():
        copy.copy_all(unit, 10)
        target.run("ALTER TABLE t ADD CONSTRAINT short CHECK (length(v) < 3)")
        with pytest.raises(CopyFailed, match="short"):
            copy.swap(unit)
    sessions.close_all()


@pytest.mark.parametrize(("own", "given"), [(None, "256MB"), ("7MB", "7MB")])
def test_indexes_are_sorted_in_memory_unless_somebody_has_set_it(
    database: Maker, own: str | None, given: str
) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run("CREATE TABLE t (id int PRIMARY KEY)")
    source.insert("t", [(1,), (2,)])
    target.run(
        "CREATE TABLE seen (tag text, memory text)",
        "CREATE FUNCTION note() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO public.seen VALUES (tg_tag, current_setting('maintenance_work_mem')); END $$",
        "CREATE EVENT TRIGGER note ON ddl_command_end WHEN TAG IN ('ALTER TABLE') "
        "EXECUTE FUNCTION note()",
    )
    [(name,)] = target.query("SELECT current_database()")
    if own is not None:
        target.run(f"ALTER DATABASE \"{name}\" SET maintenance_work_mem = '{own}'")
    Copy(source, target, tables=["t"]).run()
    assert (given,) in target.query("SELECT memory FROM seen WHERE tag = 'ALTER TABLE'")


def test_statistics_of_sqlite_are_taken_again(database: Maker) -> None:
    source, target = database("sqlite"), database("sqlite")
    source.run("CREATE TABLE items (id INTEGER PRIMARY KEY, v INT)", "CREATE TABLE u (v)")
    source.insert("items", [(n, n // 10) for n in range(1_000)])
    target.run(
        "CREATE TABLE items (id INTEGER PRIMARY KEY, v INT)",
        "CREATE INDEX by_v ON items (v)",
        "CREATE TABLE u (v)",
        "INSERT INTO items VALUES (1, 1)",
        "ANALYZE Items",
    )
    Copy(source, target, tables=["items", "u"]).run()
    assert target.query("SELECT tbl, idx, stat FROM sqlite_stat1") == [("items", "by_v", "1000 10")]


def test_indexes_that_were_dropped_or_changed_meanwhile_do_not_come_back(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    for side in (source, target):
        side.run("CREATE TABLE items (id bigint PRIMARY KEY, v int)")
    source.insert("items", [(1, 1), (2, 1)])
    target.run(
        "CREATE INDEX stays ON items (v)",
        "CREATE INDEX dropped ON items (v, id)",
        "CREATE INDEX changed ON items (id)",
        "ALTER TABLE items ADD CONSTRAINT lifted UNIQUE (id, v)",
    )
    ask = "SELECT indexdef FROM pg_indexes WHERE tablename = 'items' ORDER BY indexname"
    copy = Copy(source, target, tables=["items"])
    with copy.claimed():
        unit = copy.units[0]
        copy.copy_all(unit, 10)
        assert jobs.index(copy.target, copy.own, unit) == []
        target.run(
            "DROP INDEX dropped, changed",
            "CREATE INDEX changed ON items (v DESC)",
            "ALTER TABLE items DROP CONSTRAINT lifted",
            "CREATE INDEX added ON items ((v + id))",
        )
        wanted = target.query(ask)
        assert unit.swap == "rename"
        jobs.swap(copy.target, copy.own, [unit])
    assert target.query(ask) == wanted
    assert sorted(target.query("SELECT * FROM items")) == [(1, 1), (2, 1)]
