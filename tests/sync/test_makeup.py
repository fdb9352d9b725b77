"""Labels of enums and functions of views: what rows are written as by the catalog of today, not by the
snapshot's."""

from __future__ import annotations

import json

import pytest

from syncmon_ext.model.errors import CopyFailed, SnapshotLost
from syncmon_ext.sync import jobs
from syncmon_ext.sync.databases import sessions
from tests.sync.copying import Copy, owner
from tests.sync.databases import Database, Maker

MOOD = "CREATE TYPE mood AS ENUM ('sad', 'glad')"
RENAMED = "ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'"
LABELS = "a label of an enum was renamed"
FUNCTIONS = "a function that a view calls is another now"
KINDS = {
    "enum": ("mood", "sad"),
    "array": ("mood[]", "{sad,glad}"),
    "domain": ("felt", "sad"),
    "array of a domain": ("felt[]", "{sad}"),
    "composite": ("pair", "(1,sad)"),
    "range": ("moods", "[sad,glad]"),
}


def types(side: Database) -> None:
    side.run(
        MOOD,
        "CREATE DOMAIN felt AS mood",
        "CREATE TYPE pair AS (n int, m mood)",
        "CREATE TYPE moods AS RANGE (subtype = mood)",
    )


def table(source: Database, kind: str, value: str, name: str = "t") -> None:
    source.run(
        f"CREATE TABLE {name} (id int PRIMARY KEY, v {kind})",
        f"INSERT INTO {name} SELECT n, '{value}' FROM generate_series(1, 30) n",
    )


def finished(copy: Copy, source: Database, target: Database, said: str, read: str) -> None:
    """The unit begins again, says why, and has then what the source has."""
    (unit,) = copy.units
    with copy.claimed():
        mark = copy.prepare(unit)
        assert mark.restarted and mark.committed == [] and said in mark.changed
        assert not copy.prepare(unit).restarted
        for chunk in copy.chunks(unit, mark, 10):
            copy.copy(unit, chunk)
        copy.swap(unit)
    sessions.close_all()
    assert target.query(read) == source.query(read)


@pytest.mark.parametrize("dialect", ["postgresql", "sqlite"])
@pytest.mark.parametrize(("kind", "value"), KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("paused", [False, True], ids=["in a snapshot", "in a pause"])
def test_label_that_was_renamed_between_chunks_is_in_all_of_them_or_in_none(
    database: Maker, dialect: str, kind: str, value: str, paused: bool
) -> None:
    source, target = database("postgresql"), database(dialect)
    types(source)
    table(source, kind, value)
    target.run("CREATE TABLE t (id int PRIMARY KEY, v text)")
    copy = Copy(source, target, tables=["t"])
    (unit,) = copy.units
    with copy.claimed():
        first, *others = copy.chunks(unit, copy.prepare(unit), 10)
        copy.copy(unit, first)
        source.run(RENAMED)
        if not paused:
            with pytest.raises(SnapshotLost, match=f"was changed while it was read: {LABELS}"):
                copy.copy(unit, others[0])
    finished(copy, source, target, LABELS, "SELECT id, CAST(v AS text) FROM t ORDER BY id")


def test_label_is_looked_at_where_an_enum_of_the_target_has_both(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run(MOOD)
    target.run("CREATE TYPE mood AS ENUM ('sad', 'glad', 'blue')")
    table(source, "mood", "sad")
    copy = Copy(source, target, tables=["t"])
    (unit,) = copy.units
    with copy.claimed():
        first, second, _ = copy.chunks(unit, copy.prepare(unit), 10)
        copy.copy(unit, first)
        source.run(RENAMED)
        with pytest.raises(SnapshotLost):
            copy.copy(unit, second)
    finished(copy, source, target, LABELS, "SELECT id, CAST(v AS text) FROM t ORDER BY id")


@pytest.mark.parametrize("said", ["v::text", "'sad'::mood::text"])
def test_label_is_looked_at_where_a_view_makes_a_text_of_it(database: Maker, said: str) -> None:
    source, target = database("postgresql"), database("sqlite")
    source.run(MOOD)
    table(source, "mood", "sad", "origin")
    source.run(f"CREATE VIEW t AS SELECT id, {said} AS v FROM origin")
    copy = Copy(source, target, tables=["t"])
    (unit,) = copy.units
    with copy.claimed():
        (chunk,) = copy.chunks(unit, copy.prepare(unit), 10)
        source.run(RENAMED)
        with pytest.raises(SnapshotLost, match=LABELS):
            copy.copy(unit, chunk)
    finished(copy, source, target, LABELS, "SELECT id, v FROM t ORDER BY id")


def test_label_is_looked_at_in_a_batch(database: Maker) -> None:
    source, target = database("postgresql"), database("sqlite")
    source.run(MOOD)
    table(source, "mood", "sad")
    source.run("CREATE TABLE u (id int PRIMARY KEY)")
    copy = Copy(source, target, tables=["t", "u"])
    with copy.claimed():
        source.run(RENAMED)
        arguments = (copy.source, copy.target, copy.own, copy.units, 100, copy.snapshot)
        with pytest.raises(SnapshotLost, match=f"t was changed while it was read: {LABELS}"):
            jobs.batch(*arguments)
    assert not {"t", "u"} & set(target.tables())


OTHER = "CREATE OR REPLACE FUNCTION other() RETURNS int LANGUAGE sql AS 'SELECT {}'"
HARMLESS = {
    "added": "ALTER TYPE mood ADD VALUE 'mad' BEFORE 'glad'",
    "another enum": "ALTER TYPE weather RENAME VALUE 'wet' TO 'rainy'",
    "another function": OTHER.format(2),
}


@pytest.mark.parametrize("done", HARMLESS.values(), ids=HARMLESS)
@pytest.mark.parametrize("consistency", [None, "chunk"])
def test_what_changes_no_earlier_row_lets_it_go_on(
    database: Maker, done: str, consistency: str | None
) -> None:
    source, target = database("postgresql"), database("sqlite")
    source.run(MOOD, "CREATE TYPE weather AS ENUM ('wet', 'dry')", OTHER.format(1))
    table(source, "mood", "sad")
    source.run("CREATE VIEW seen AS SELECT id, v FROM t")
    copy = Copy(source, target, tables=["t", "seen"], consistency=consistency)
    unit, view = copy.units
    with copy.claimed():
        copy.snapshot = None if consistency else copy.snapshot
        first, second, third = copy.chunks(unit, copy.prepare(unit), 10)
        (whole,) = copy.chunks(view, copy.prepare(view), 10)
        copy.copy(unit, first)
        source.run(done)
        copy.copy(unit, second)
        copy.copy(view, whole)
    with copy.claimed():  # it goes on
        copy.snapshot = None if consistency else copy.snapshot
        marks = [copy.prepare(unit), copy.prepare(view)]
        assert [(m.restarted, m.chunks_committed) for m in marks] == [(False, 2), (False, 1)]
        copy.copy(unit, third)
        copy.swap(unit)
        copy.swap(view)
    sessions.close_all()
    for name in ("t", "seen"):
        assert target.query(f"SELECT v, count(*) FROM {name} GROUP BY v") == [("sad", 30)]


@pytest.mark.parametrize("done", [RENAMED, "ALTER TABLE t DROP COLUMN w; DROP TYPE mood"])
@pytest.mark.parametrize("consistency", [None, "chunk"])
def test_label_of_a_column_of_partitions_that_is_not_read_lets_it_go_on(
    database: Maker, done: str, consistency: str | None
) -> None:
    source, target = database("postgresql"), database("sqlite")
    source.run(
        MOOD,
        "CREATE TYPE weather AS ENUM ('wet', 'dry')",
        "CREATE TABLE t (id int PRIMARY KEY, v weather, w mood) PARTITION BY RANGE (id)",
        "CREATE TABLE part PARTITION OF t FOR VALUES FROM (0) TO (100)",
        "INSERT INTO t SELECT n, 'wet', 'sad' FROM generate_series(1, 30) n",
    )
    only = {"name": "t", "columns": ["id", "v"]}
    copy = Copy(source, target, tables=[only], consistency=consistency)
    (unit,) = copy.units
    for number in range(2):
        with copy.claimed():
            copy.snapshot = None if consistency else copy.snapshot
            mark = copy.prepare(unit)
            assert (mark.restarted, mark.chunks_committed) == (False, 2 * number)
            first, *others = copy.chunks(unit, mark, 10)
            copy.copy(unit, first)
            if others:
                source.run(*done.split("; "))
                copy.copy(unit, others[0])
    copy.swap(unit)
    sessions.close_all()
    assert target.query("SELECT v, count(*) FROM t GROUP BY v") == [("wet", 30)]


CALLING = {
    "function": (
        "CREATE FUNCTION said(n int) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT ''a''::text'",
        "SELECT id, said(id) AS v FROM origin",
        "CREATE OR REPLACE FUNCTION said(n int) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT ''b''::text'",
    ),
    "of a view that it reads": (
        "CREATE FUNCTION said(n int) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN ''a''; END'; "
        "CREATE VIEW below AS SELECT id, said(id) AS v FROM origin",
        "SELECT * FROM below",
        "CREATE OR REPLACE FUNCTION said(n int) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN ''b''; END'",
    ),
    "behind an operator": (
        "CREATE FUNCTION said(n int, m int) RETURNS text LANGUAGE sql AS 'SELECT ''a''::text'; "
        "CREATE OPERATOR public.<+> (LEFTARG = int, RIGHTARG = int, FUNCTION = said)",
        "SELECT id, id OPERATOR(public.<+>) 1 AS v FROM origin",
        "CREATE OR REPLACE FUNCTION said(n int, m int) RETURNS text LANGUAGE sql AS 'SELECT ''b''::text'",
    ),
    "its settings": (
        "CREATE FUNCTION said(n int) RETURNS text LANGUAGE plpgsql AS "
        "'BEGIN RETURN current_setting(''extra_float_digits''); END'",
        "SELECT id, said(id) AS v FROM origin",
        "ALTER FUNCTION said(int) SET extra_float_digits = 0",
    ),
}


def calling(database: Maker, made: str, view: str) -> tuple[Database, Database, Copy]:
    source, target = database("postgresql"), database("sqlite")
    table(source, "text", "x", "origin")
    head, *others = made.split("; CREATE ")
    source.run(head, *(f"CREATE {other}" for other in others), f"CREATE VIEW t AS {view}")
    return source, target, Copy(source, target, tables=["t"])


@pytest.mark.parametrize(("made", "view", "done"), CALLING.values(), ids=CALLING)
@pytest.mark.parametrize("paused", [False, True], ids=["in a snapshot", "in a pause"])
def test_view_whose_function_says_something_else_is_read_again(
    database: Maker, made: str, view: str, done: str, paused: bool
) -> None:
    source, target, copy = calling(database, made, view)
    (unit,) = copy.units
    with copy.claimed():
        (chunk,) = copy.chunks(unit, copy.prepare(unit), 10)
        if paused:
            copy.copy(unit, chunk)
        source.run(done)
        if not paused:
            with pytest.raises(SnapshotLost, match=f"was changed while it was read: {FUNCTIONS}"):
                copy.copy(unit, chunk)
    finished(copy, source, target, FUNCTIONS, "SELECT id, v FROM t ORDER BY id")


BETWEEN = {
    "label": (RENAMED, LABELS),
    "name": (
        "ALTER TABLE t RENAME TO old; CREATE TABLE t AS SELECT id, 'glad'::mood AS v FROM old",
        "its name belongs to another table now",
    ),
}


@pytest.mark.parametrize(("done", "said"), BETWEEN.values(), ids=BETWEEN)
@pytest.mark.parametrize("direct", [False, True], ids=["staged", "direct"])
def test_table_that_is_another_between_chunks_without_a_snapshot_is_read_again(
    database: Maker, done: str, said: str, direct: bool
) -> None:
    source, target = database("postgresql"), database("sqlite")
    source.run(MOOD)
    table(source, "mood", "sad")
    copy = Copy(source, target, tables=["t"], mode="append", direct=direct, consistency="chunk")
    (unit,) = copy.units
    jobs.claim(copy.target, copy.own, copy.units)
    first, second, _ = copy.chunks(unit, copy.prepare(unit), 10)
    copy.copy(unit, first)
    source.run(*done.split("; "))
    with pytest.raises(SnapshotLost, match=said):
        copy.copy(unit, second)
    if direct:
        with pytest.raises(CopyFailed, match=f"another by now: {said}"):  # rows are in place
            copy.prepare(unit)
        sessions.close_all()
        return
    mark = copy.prepare(unit)
    assert mark.restarted and said in mark.changed
    for chunk in copy.chunks(unit, mark, 10):
        copy.copy(unit, chunk)
    copy.swap(unit)
    sessions.close_all()
    read = "SELECT id, v FROM t ORDER BY id"
    assert target.query(read) == source.query(read)


def test_unit_that_an_older_syncmon_began_goes_on(database: Maker) -> None:
    source, target = database("postgresql"), database("postgresql")
    source.run(MOOD)
    table(source, "mood", "sad")
    target.run("CREATE TABLE t (id int PRIMARY KEY, v text)")
    copy = Copy(source, target, tables=["t"])
    (unit,) = copy.units
    with copy.claimed():
        copy.copy(unit, next(copy.chunks(unit, copy.prepare(unit), 10)))
    ((text,),) = target.query("SELECT epoch FROM _syncmon.units")
    known = json.loads(text)
    for name in ("labels", "functions"):
        known["makeup"].pop(name)
    target.run(f"UPDATE _syncmon.units SET epoch = '{json.dumps(known)}'")
    resumed = Copy(source, target, owner(token=2), tables=["t"])
    with resumed.claimed():
        mark = resumed.prepare(unit)
        assert not mark.restarted and mark.chunks_committed == 1
        assert "sad" in str(target.query("SELECT epoch FROM _syncmon.units"))
    sessions.close_all()


def test_partitions_come_and_go_between_chunks_that_are_each_a_state_of_their_own(
    database: Maker,
) -> None:
    source, target = database("postgresql"), database("sqlite")
    source.run(
        "CREATE TABLE t (id int PRIMARY KEY, v int) PARTITION BY RANGE (id)",
        "CREATE TABLE a PARTITION OF t FOR VALUES FROM (0) TO (16)",
        "CREATE TABLE b PARTITION OF t FOR VALUES FROM (16) TO (100)",
        "CREATE TABLE c (id int PRIMARY KEY, v int)",
        "INSERT INTO t SELECT n, n FROM generate_series(1, 30) n",
        "INSERT INTO c VALUES (100, 100)",
    )
    copy = Copy(source, target, tables=["t"], consistency="chunk")
    (unit,) = copy.units
    with copy.claimed():
        copy.snapshot = None
        first, second, third = copy.chunks(unit, copy.prepare(unit), 10)
        copy.copy(unit, first)
        source.run("ALTER TABLE t DETACH PARTITION a")
        copy.copy(unit, second)
        source.run("ALTER TABLE t ATTACH PARTITION c FOR VALUES FROM (100) TO (200)")
        copy.copy(unit, third)
        copy.swap(unit)
    wanted = [n for n in range(1, 31) if n <= 10 or n >= 16]
    assert target.query("SELECT id FROM t ORDER BY id") == [(n,) for n in wanted]
