"""A task of many tables is planned with few questions to the databases."""

from __future__ import annotations

from typing import Any

import pytest

from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sqlite import SqliteSession
from tests.sync.copying import Copy
from tests.sync.databases import Database, Maker

TABLES = [f"t{number}" for number in range(400)]


def make(db: Database, tables: list[str]) -> None:
    db.run(*(f"CREATE TABLE {table} (id INTEGER NOT NULL PRIMARY KEY, v TEXT)" for table in tables))


@pytest.mark.parametrize("target_dialect", ["sqlite", "postgresql"])
@pytest.mark.parametrize("source_dialect", ["sqlite", "postgresql"])
def test_questions_do_not_grow_with_the_tables(
    database: Maker, source_dialect: str, target_dialect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = database(source_dialect), database(target_dialect)
    make(source, TABLES)
    make(target, TABLES[::2])
    asked: dict[str, list[str]] = {"postgresql": [], "sqlite": []}
    for kind in (PostgresSession, SqliteSession):
        execute = kind.execute

        def counted(self: Any, statement: str, *rest: Any, _execute: Any = execute) -> Any:
            asked[self.dialect].append(statement)
            return _execute(self, statement, *rest)

        monkeypatch.setattr(kind, "execute", counted)
    copy = Copy(source, target, tables=TABLES)
    assert [unit.errors for unit in copy.units] == [[]] * len(TABLES)
    assert {unit.swap for unit in copy.units} == {"create", "rename"}
    assert len(asked["postgresql"]) < 40
    scans = [statement for statement in asked["sqlite"] if "FROM sqlite_schema" in statement]
    assert len(scans) < 10, "each reads the whole schema of the file"
