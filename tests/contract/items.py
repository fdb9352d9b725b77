"""The table ``items`` that most tests of the contract copy: its rows, in either database."""

from __future__ import annotations

from typing import Any

from tests.sync.databases import Database

ROWS: list[tuple[Any, ...]] = [
    (
        number * 3 - 60,
        f"name {number}\twith\nhostile \\ {number % 7}" if number % 5 else "",
        number / 7,
        None if number % 4 == 0 else f"{number}é🙂'\"",
        bytes([number % 256, 0, 10, 92]),
    )
    for number in range(100)
]


def make_table(
    db: Database, name: str = "items", rows: list[tuple[Any, ...]] | None = None
) -> None:
    kinds = ("BIGINT", "DOUBLE PRECISION", "BYTEA") if db.dialect == "postgresql" else (
        "INTEGER", "REAL", "BLOB"
    )  # fmt: skip
    db.run(
        f"CREATE TABLE {name} (id {kinds[0]} NOT NULL PRIMARY KEY, name TEXT NOT NULL, "
        f"amount {kinds[1]}, note TEXT, data {kinds[2]})"
    )
    db.insert(name, ROWS if rows is None else rows)


def content(db: Database, table: str = "items") -> list[tuple[Any, ...]]:
    return sorted(db.query(f"SELECT id, name, amount, note, data FROM {table}"))
