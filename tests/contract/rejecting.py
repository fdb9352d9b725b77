"""Copies that set bad rows aside, and what their targets keep of them."""

from __future__ import annotations

import itertools
from typing import Any

from syncmon_ext.sync import jobs
from tests.sync.copying import Copy, owner
from tests.sync.databases import Database

_runs = itertools.count(1)


def make(db: Database, rows: list[tuple[Any, ...]], rule: str = "") -> None:
    kind = "BIGINT" if db.dialect == "postgresql" else "INTEGER"
    db.run(f"CREATE TABLE items (id {kind} NOT NULL PRIMARY KEY, v TEXT {rule})")
    db.insert("items", rows)


def copy_of(source: Database, target: Database, **spec: Any) -> Copy:
    run = f"rejecting{next(_runs)}"
    return Copy(source, target, owner(run=run), **{"tables": ["items"], **spec})


def listed(target: Database) -> dict[Any, Any]:
    found = jobs.rejects(target.connection, "store1", "task", 100)
    assert found.total == len(found.rejects)
    return {reject.key["id"]: reject for reject in found.rejects}


def replay(copy: Copy) -> tuple[int, int, int]:
    done = jobs.replay(copy.source, copy.target, "store1", "task", copy.units, 60)
    return done.replayed, done.gone, done.remaining
