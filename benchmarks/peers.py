"""The baselines, each a program of its own: ``python -m benchmarks.peers NAME SOURCE TARGET``.

Keys, indexes and fsync are those of the product's copy. Peers that need the table to be there are
given it; peers that make it get the key afterwards, as the product does in PostgreSQL.
"""

from __future__ import annotations

import importlib.util
import shlex
import sqlite3
import sys
from collections.abc import Callable
from importlib import resources
from typing import Any, Final

from benchmarks.lineitem import KEY, POSTGRES_DDL, SQLITE_DDL

BATCH_ROWS: Final = 65_536
SCANNERS: Final = ("sqlite_scanner", "postgres_scanner")  # each in a package of its own
NEEDS: Final = {
    "adbc": ("adbc_driver_postgresql", "adbc_driver_sqlite", "pyarrow"),
    "duckdb": ("duckdb", *(f"duckdb_extension_{name}" for name in SCANNERS)),
}


def psql_pipe(psql: str, source: str, target: str) -> str:
    """``psql COPY BINARY | psql COPY BINARY``, then the key: a shell script."""
    run = f"{shlex.quote(psql)} --no-psqlrc --quiet --set=ON_ERROR_STOP=1"
    source, target = shlex.quote(source), shlex.quote(target)
    return (
        f"set -e; {run} {target} -c {shlex.quote(POSTGRES_DDL + ')')}\n"
        f"{run} {source} -c 'COPY lineitem TO STDOUT (FORMAT binary)' | "
        f"{run} {target} -c 'COPY lineitem FROM STDIN (FORMAT binary)'\n"
        f"{run} {target} -c 'ALTER TABLE lineitem ADD {KEY}'\n"
    )


def missing(name: str) -> str | None:
    """Why a peer cannot be measured here; None where it can."""
    kind = name.split("_", maxsplit=1)[0]
    for package in NEEDS.get(kind, ()):
        if importlib.util.find_spec(package) is None:
            return f"the package {package} is not installed"
    return None


def _statement(url: str, *statements: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as session:
        for statement in statements:
            session.execute(statement.encode())


def attach(source: str, target: str) -> None:
    """One INSERT … SELECT from an attached file into a table with its key."""
    db = sqlite3.connect(target, isolation_level=None)
    db.execute("ATTACH ? AS source", (source,))
    db.execute(f"{SQLITE_DDL}, {KEY})")
    db.execute("INSERT INTO main.lineitem SELECT * FROM source.lineitem")
    db.close()


def attach_in_order(source: str, target: str) -> None:
    """The same with ORDER BY the rowid: SQLite then writes rows, where it else moves finished cells."""
    db = sqlite3.connect(target, isolation_level=None)
    db.execute("ATTACH ? AS source", (source,))
    db.execute(f"{SQLITE_DDL}, {KEY})")
    db.execute("INSERT INTO main.lineitem SELECT * FROM source.lineitem ORDER BY rowid")
    db.close()


def adbc_sqlite_postgresql(source: str, target: str) -> None:
    """Arrow batches from SQLite, ingested into a table that ADBC makes; then the key."""
    import adbc_driver_postgresql.dbapi as postgresql
    import adbc_driver_sqlite.dbapi as sqlite

    with sqlite.connect(source) as reads, postgresql.connect(target) as writes:
        with reads.cursor() as out, writes.cursor() as back:
            out.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(BATCH_ROWS)})
            out.execute("SELECT * FROM lineitem")
            back.adbc_ingest("lineitem", out.fetch_record_batch(), mode="create")
        writes.commit()
    _statement(target, f"ALTER TABLE lineitem ADD {KEY}")


def adbc_postgresql_sqlite(source: str, target: str) -> None:
    """Arrow batches from PostgreSQL, appended to a table with its key."""
    import adbc_driver_postgresql.dbapi as postgresql
    import adbc_driver_sqlite.dbapi as sqlite

    db = sqlite3.connect(target)
    db.execute(f"{SQLITE_DDL}, {KEY})")
    db.close()
    with postgresql.connect(source) as reads, sqlite.connect(target) as writes:
        with reads.cursor() as out, writes.cursor() as back:
            out.execute("SELECT * FROM lineitem")
            back.adbc_ingest("lineitem", out.fetch_record_batch(), mode="append")
        writes.commit()


def duckdb_sqlite_postgresql(source: str, target: str) -> None:
    """CREATE TABLE AS over DuckDB's two scanners; then the key."""
    db = _duckdb()
    db.execute(f"ATTACH '{source}' AS a (TYPE sqlite, READ_ONLY)")
    db.execute(f"ATTACH '{target}' AS b (TYPE postgres)")
    db.execute("CREATE TABLE b.public.lineitem AS FROM a.lineitem")
    db.close()
    _statement(target, f"ALTER TABLE lineitem ADD {KEY}")


def duckdb_postgresql_sqlite(source: str, target: str) -> None:
    """INSERT over DuckDB's two scanners into a table with its key."""
    made = sqlite3.connect(target)
    made.execute(f"{SQLITE_DDL}, {KEY})")
    made.close()
    db = _duckdb()
    db.execute(f"ATTACH '{source}' AS a (TYPE postgres, READ_ONLY)")
    db.execute(f"ATTACH '{target}' AS b (TYPE sqlite)")
    db.execute("INSERT INTO b.lineitem FROM a.public.lineitem")
    db.close()


def _duckdb() -> Any:
    import duckdb

    db = duckdb.connect()
    for scanner in SCANNERS:
        package = resources.files(f"duckdb_extension_{scanner}")
        file = package / "extensions" / f"v{duckdb.__version__}" / f"{scanner}.duckdb_extension"
        db.execute(f"LOAD '{file}'")
    return db


def copy_loop(source: str, target: str) -> None:
    """A bare loop over all small tables: CREATE, COPY to COPY, the key; one transaction each."""
    import psycopg

    with psycopg.connect(source, autocommit=True) as a, psycopg.connect(target) as b:
        listed = a.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in listed:
            b.execute(f"CREATE TABLE {table} (id bigint NOT NULL, v text)".encode())
            with (
                a.cursor().copy(f"COPY {table} TO STDOUT (FORMAT binary)".encode()) as out,
                b.cursor().copy(f"COPY {table} FROM STDIN (FORMAT binary)".encode()) as back,
            ):
                for data in out:
                    back.write(data)
            b.execute(f"ALTER TABLE {table} ADD PRIMARY KEY (id)".encode())
            b.commit()


PEERS: Final[dict[str, Callable[[str, str], None]]] = {
    function.__name__: function
    for function in (
        attach,
        attach_in_order,
        adbc_sqlite_postgresql,
        adbc_postgresql_sqlite,
        duckdb_sqlite_postgresql,
        duckdb_postgresql_sqlite,
        copy_loop,
    )
}

if __name__ == "__main__":
    PEERS[sys.argv[1]](*sys.argv[2:])
