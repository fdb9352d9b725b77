"""What others commit to a target until the swap has its lock is kept."""

from __future__ import annotations

import threading
import time

import psycopg
import pytest

from syncmon_ext.sync import jobs, swap_postgresql
from syncmon_ext.sync.databases import sessions
from tests.sync.copying import Copy
from tests.sync.databases import Database, Maker

DEADLINE_SECONDS = 8
MADE = (
    "CREATE TRIGGER noted BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION noted()",
    "GRANT SELECT ON t TO PUBLIC",
    "COMMENT ON TABLE t IS 'kept'",
    "ALTER TABLE t SET (autovacuum_enabled = false)",
)
KEPT = (
    "SELECT relacl::text, reloptions::text, obj_description(oid, 'pg_class'), "
    "ARRAY(SELECT tgname::text FROM pg_trigger WHERE tgrelid = c.oid) "
    "FROM pg_class c WHERE oid = 't'::regclass"
)


def copy_of(database: Maker) -> tuple[Copy, Database]:
    source, target = database("postgresql"), database("postgresql")
    source.run("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1), (2)")
    target.run(
        "CREATE TABLE t (id int PRIMARY KEY)",
        "INSERT INTO t VALUES (7)",
        "CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    )
    copy = Copy(source, target, tables=["t"], verify="count")
    assert copy.units[0].swap == "rename"
    return copy, target


def test_what_is_committed_while_the_swap_waits_is_kept(database: Maker) -> None:
    copy, target = copy_of(database)

    def commit_when_waited_for(somebody: psycopg.Connection) -> None:
        end = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < end and not target.query(
            "SELECT 1 FROM pg_locks WHERE relation = 't'::regclass AND NOT granted"
        ):
            time.sleep(0.02)
        somebody.commit()

    with copy.claimed(), psycopg.connect(target.connection.url) as somebody:
        copy.copy_all(copy.units[0], 10)
        for statement in MADE:
            somebody.execute(statement.encode())
        other = threading.Thread(target=commit_when_waited_for, args=[somebody])
        other.start()
        copy.swap(copy.units[0])
        other.join()
    sessions.close_all()
    (kept,) = target.query(KEPT)
    assert kept[0].endswith("=r/postgres}")
    assert kept[1:] == ("{autovacuum_enabled=false}", "kept", ["noted"])
    assert sorted(target.query("SELECT id FROM t")) == [(1,), (2,)]


def test_what_is_committed_before_a_batch_has_its_locks_is_kept(
    database: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, target = copy_of(database)
    lock = swap_postgresql.lock_alone
    committed: list[str] = []

    def late(*arguments: object, **options: object) -> None:
        if not committed:
            committed.extend(MADE)
            target.run(*MADE)
        lock(*arguments, **options)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(swap_postgresql, "lock_alone", late)
    with copy.claimed():
        result = jobs.batch(copy.source, copy.target, copy.own, copy.units, 100, copy.snapshot)
        assert (result.placed, result.alone) == ([], ["t"])
        copy.run(10)
    (kept,) = target.query(KEPT)
    assert kept[1:] == ("{autovacuum_enabled=false}", "kept", ["noted"])
    assert sorted(target.query("SELECT id FROM t")) == [(1,), (2,)]
