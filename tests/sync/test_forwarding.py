"""Rows that go from one PostgreSQL straight to another: what passes, and what comes in between."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from sqlalchemy.engine import make_url

from syncmon_ext.model.connection import Connection
from syncmon_ext.model.errors import BadRow, CopyFailed, DatabaseUnavailable
from syncmon_ext.sync import phases, throttle
from syncmon_ext.sync.databases import sessions
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.routes import compiled, forwarding
from syncmon_ext.sync.routes.base import Landed
from tests.debian_server import GROUP, debian_database
from tests.sync.copying import Copy
from tests.sync.databases import Database, Maker

pytestmark = pytest.mark.skipif(
    compiled.for_postgresql() is None, reason="the loops are not compiled here"
)
MADE = "CREATE TABLE t (id integer NOT NULL, v text)"


class Ends:
    """Two databases with a session each, and the copy of ``t`` between them."""

    def __init__(self, source: Database, target: Database) -> None:
        self.databases = source, target
        self.source = PostgresSession(source.connection, application_name="s", read_only=True)
        self.target = PostgresSession(target.connection, application_name="t", read_only=False)

    def copy(self, query: str = "SELECT * FROM public.t", options: str = "") -> Landed:
        loops = forwarding.loops(self.source, self.target)
        assert loops is not None
        out, into = f"COPY ({query}) TO STDOUT{options}", f"COPY public.t FROM STDIN{options}"
        return forwarding.forwarded(loops, self.source, self.target, out, into)

    def same(self) -> bool:
        """True where both tables hold the same rows, and both sessions can go on."""
        answers = [end.execute("SELECT 1") for end in (self.source, self.target)]
        rows = [database.query("SELECT * FROM t ORDER BY id") for database in self.databases]
        return answers == [[(1,)], [(1,)]] and rows[0] == rows[1]

    def close(self) -> None:
        self.source.close()
        self.target.close()


def before_each_row(database: Database, body: str) -> None:
    """Let the database do something with a row of ``t`` before it takes it."""
    database.run(
        "CREATE FUNCTION each_row() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN {body} RETURN NEW; END $$",
        "CREATE TRIGGER each_row BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION each_row()",
    )


@pytest.fixture
def ends(database: Maker) -> Iterator[Ends]:
    source, target = database("postgresql"), database("postgresql")
    source.run(MADE)
    target.run(MADE)
    both = Ends(source, target)
    yield both
    both.close()


@pytest.mark.parametrize("options", ["", " (FORMAT binary)"])
@pytest.mark.parametrize("rows", [0, 1, 5_000])
def test_rows_pass_unchanged(ends: Ends, rows: int, options: str) -> None:
    ends.databases[0].run(
        f"INSERT INTO t SELECT i, repeat('ä\\' || i, i % 300) FROM generate_series(1, {rows}) AS i"
    )
    for _ in range(2):  # the sessions are as they were
        ends.databases[1].run("TRUNCATE t")
        landed = ends.copy(options=options)
        assert (landed.rows_read, landed.rows) == (rows, rows)
        assert ends.same()


@pytest.mark.parametrize("size", [65_528, 65_529, 65_530, 65_531, 65_536, 131_072, 5_000_000])
def test_row_may_be_larger_than_what_is_held(ends: Ends, size: int) -> None:
    ends.databases[0].run(
        f"INSERT INTO t SELECT i, repeat(i::text, {size}) FROM generate_series(1, 3) AS i",
        "INSERT INTO t VALUES (4, NULL), (5, '')",
    )
    assert ends.copy(options=" (FORMAT binary)").rows == 5
    assert ends.same()


def test_pace_is_asked_for_and_kept(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    ends.databases[0].run("INSERT INTO t SELECT i, 'v' FROM generate_series(1, 2000) AS i")

    class Bounded:
        def rates(self) -> tuple[float, float]:
            return 10_000.0, 0.0

    spent: list[int] = []
    spend = throttle.Pacer.spend

    def noted(pacer: throttle.Pacer, rows: int, size: int) -> float:
        spent.append(rows)
        return spend(pacer, rows, size)

    monkeypatch.setattr(throttle.Pacer, "spend", noted)
    throttle.set_pace(Bounded())
    try:
        assert ends.copy().rows == 2_000
    finally:
        throttle.set_pace(None)
    assert sum(spent) == 2_000 and max(spent) <= 10_000 * throttle.SLICE_SECONDS
    assert ends.same()


def test_target_s_error_ends_the_copy_at_once(ends: Ends) -> None:
    ends.databases[1].run("ALTER TABLE t ADD CHECK (id < 1000)")
    endless = "SELECT generate_series(1, 2000000000), repeat('v', 100)"
    with pytest.raises(BadRow, match="check constraint"):
        ends.copy(endless)
    assert ends.target.execute("SELECT count(*) FROM public.t") == [(0,)]


def test_target_s_error_leaves_its_transaction_open_for_a_savepoint(ends: Ends) -> None:
    ends.databases[0].run(
        "INSERT INTO t SELECT i, repeat('v', 90) FROM generate_series(1, 5000) AS i"
    )
    ends.databases[1].run("ALTER TABLE t ADD CHECK (id <> 2500)")
    with ends.target.transaction():
        with pytest.raises(BadRow), ends.target.savepoint():
            ends.copy()
        ends.target.change("INSERT INTO public.t VALUES (1, 'kept')")
    assert ends.databases[1].query("SELECT * FROM t") == [(1, "kept")]


def test_target_that_takes_nothing_is_said_before_a_row_is_read(ends: Ends) -> None:
    ends.databases[1].run("DROP TABLE t")
    with pytest.raises(CopyFailed, match="does not exist"):
        ends.copy()
    assert ends.source.execute("SELECT 1") == [(1,)]


@pytest.mark.parametrize("before", [0, 2, 3_000, 100_000])
def test_source_s_error_leaves_nothing(ends: Ends, before: int) -> None:
    failing = f"SELECT 10 / (i - {before}), 'v' FROM generate_series(0, 200000) AS i"
    with ends.target.transaction():
        with pytest.raises((BadRow, CopyFailed), match="division by zero"), ends.target.savepoint():
            ends.copy(failing)
        assert ends.target.execute("SELECT count(*) FROM public.t") == [(0,)]
    assert ends.source.execute("SELECT 1") == [(1,)]


def test_source_s_notices_between_its_rows_are_no_rows(ends: Ends) -> None:
    ends.databases[0].run(
        "CREATE FUNCTION told(i integer) RETURNS text LANGUAGE plpgsql AS $$ BEGIN "
        "IF i % 7 = 0 THEN RAISE NOTICE 'at % %', i, repeat('d', i * 30); END IF; "
        "IF i % 11 = 0 THEN PERFORM set_config('application_name', 'at ' || i, false); END IF; "
        "RETURN 'row ' || i; END $$",
        "INSERT INTO t SELECT i, 'row ' || i FROM generate_series(1, 5000) AS i",
    )
    ends.source.change("SET client_min_messages = notice")
    assert ends.copy("SELECT id, public.told(id) FROM public.t").rows == 5_000
    assert ends.same()


def test_target_s_notices_do_not_end_the_copy(ends: Ends) -> None:
    ends.databases[0].run("INSERT INTO t SELECT i, 'v' FROM generate_series(1, 5000) AS i")
    before_each_row(ends.databases[1], "RAISE NOTICE 'row %', NEW.id;")
    ends.target.change("SET client_min_messages = notice")
    assert ends.copy().rows == 5_000
    assert ends.same()


def test_rows_that_a_trigger_drops_are_missed(ends: Ends) -> None:
    ends.databases[0].run("INSERT INTO t SELECT i, 'v' FROM generate_series(1, 100) AS i")
    before_each_row(ends.databases[1], "IF NEW.id = 7 THEN RETURN NULL; END IF;")
    landed = ends.copy()
    assert (landed.rows_read, landed.rows) == (100, 99)


@pytest.mark.parametrize("end", ["source", "target"])
@pytest.mark.parametrize("blocked", [False, True])
def test_backend_that_is_ended_is_an_outage(ends: Ends, end: str, blocked: bool) -> None:
    query = "SELECT generate_series(1, 2000000000), 'v'"
    if blocked:  # no row comes, or none is taken
        query = "SELECT 1, pg_sleep(600)::text"
        if end == "target":
            query = "SELECT i, repeat('v', 1000) FROM generate_series(1, 100000) AS i"
            before_each_row(ends.databases[1], "PERFORM pg_sleep(600);")
    session: PostgresSession = getattr(ends, end)
    database = ends.databases[end == "target"]
    waits = "wait_event = 'PgSleep'" if blocked else "query LIKE 'COPY%'"
    done = threading.Event()

    def end_backend() -> None:
        ended = False
        while not ended and not done.wait(0.05):
            rows = database.query(
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                f"WHERE pid = {session.pid} AND {waits}"
            )
            ended = rows == [(True,)]

    ender = threading.Thread(target=end_backend)
    ender.start()
    try:
        with pytest.raises(DatabaseUnavailable), ends.target.transaction():
            ends.copy(query)
    finally:
        done.set()
        ender.join()
    assert session.broken
    assert ends.databases[1].query("SELECT count(*) FROM t") == [(0,)]


class Line:
    """A TCP line to a server that is cut, in the direction of ``answers`` or the other, after some bytes."""

    def __init__(self, url: str, *, answers: bool, after: int) -> None:
        self._server = f"{make_url(url).query['host']}/.s.PGSQL.5432"
        self._answers, self._left = answers, after
        self._listener = socket.create_server(("127.0.0.1", 0))
        host, port = self._listener.getsockname()
        self.url = make_url(url).set(host=host, port=port, query={}).render_as_string(False)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            client, _ = self._listener.accept()
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._server)
            with client, server:
                while True:
                    ready, _, _ = select.select([client, server], [], [])
                    for end in ready:
                        data = end.recv(65536)
                        if (end is server) == self._answers:
                            self._left -= len(data)
                        if not data or self._left < 0:
                            return
                        (client if end is server else server).sendall(data)

    def close(self) -> None:
        self._listener.close()


@pytest.mark.parametrize("end", ["source", "target"])
def test_line_that_is_cut_between_the_rows_is_an_outage(database: Maker, end: str) -> None:
    source, target = database("postgresql"), database("postgresql")
    for one in (source, target):
        one.run(MADE)
    cut = source if end == "source" else target
    line = Line(cut.connection.url, answers=end == "source", after=1_000_000)
    cut.connection = Connection(name=cut.connection.name, url=line.url)
    both = Ends(source, target)
    try:
        with pytest.raises(DatabaseUnavailable), both.target.transaction():
            both.copy("SELECT generate_series(1, 2000000000), repeat('v', 500)")
        assert (both.source if end == "source" else both.target).broken
    finally:
        both.close()
        line.close()
    if end == "source":
        assert target.query("SELECT count(*) FROM t") == [(0,)]


def test_wait_is_told_of_the_end_that_is_waited_for(ends: Ends) -> None:
    told: list[str | None] = []
    phases.listen(told.append)
    try:
        ends.copy("SELECT 1, pg_sleep(0.3)::text")
    finally:
        phases.listen(None)
    assert ends.source.name in told[told.index(ends.target.name) + 2 :]
    assert told[-1] is None


@pytest.fixture
def encrypted() -> Iterator[Database]:
    """A database of a server that encrypts, reached over TLS."""
    with debian_database(sslmode="require") as url:
        yield Database(Connection(name="tls", url=url))
        sessions.close_all()


@pytest.mark.xdist_group(GROUP)
@pytest.mark.parametrize("end", ["source", "target"])
def test_rows_to_and_from_an_encrypted_connection_pass_through_the_driver(
    database: Maker, encrypted: Database, end: str
) -> None:
    plain = database("postgresql")
    source, target = (encrypted, plain) if end == "source" else (plain, encrypted)
    source.run(
        "CREATE TABLE t (id integer PRIMARY KEY, v text)",
        "INSERT INTO t SELECT i, repeat('row ' || i, i) FROM generate_series(1, 500) AS i",
    )
    assert Copy(source, target, tables=["t"]).run() == {"t": 500}
    assert target.query("SELECT * FROM t ORDER BY id") == source.query(
        "SELECT * FROM t ORDER BY id"
    )
    ends = Ends(source, target)
    assert forwarding.loops(ends.source, ends.target) is None
    ends.close()
