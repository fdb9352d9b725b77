from __future__ import annotations

from pathlib import Path

import pytest

from syncmon_ext.services.readiness import KEPT_SECONDS, Readiness
from syncmon_ext.services.supervisor import Supervisor
from syncmon_ext.store.store import Store
from tests.databases import sqlite_url


class Watched(Supervisor):
    """Notes what it was told, and starts no process."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.ready = False

    def stand_by(self) -> None:
        self.ready = True

    def stand_down(self) -> None:
        self.ready = False


class Look:
    """A server's visitors and a clock in hand."""

    def __init__(self, supervisor: Watched) -> None:
        self.supervisor, self.now, self.clients = supervisor, 0.0, 0
        self.readiness = Readiness(lambda: self.clients, lambda: self.now)

    def at(self, now: float, clients: int, *, active: bool = False) -> bool:
        self.now, self.clients = now, clients
        self.readiness.look(self.supervisor, active=active)
        return self.supervisor.ready


@pytest.fixture
def look(tmp_path: Path) -> Look:
    return Look(Watched(Store(sqlite_url(tmp_path / "store.db"))))


def test_worker_stands_by_while_somebody_watches_and_a_while_longer(look: Look) -> None:
    assert not look.at(0, 0)
    assert look.at(1, 1)
    assert look.at(2, 0), "a page that is loaded again is away for a moment"
    assert look.at(2 + KEPT_SECONDS - 2, 0)
    assert not look.at(3 + KEPT_SECONDS, 0)


def test_none_is_made_ready_beside_a_run(look: Look) -> None:
    assert not look.at(0, 1, active=True)
    assert look.at(1, 1)
    assert look.at(2, 1, active=True), "one that is there stays"
