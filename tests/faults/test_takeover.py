"""Takeovers, over and over: one worker at a time, each a token later, and no write of an older one.

A few rounds in ``make test``, 200 in ``make faults``.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.synchronize import Event
from pathlib import Path

import psutil
import pytest
from sqlalchemy import update

from syncmon_ext.model.errors import StoreUnavailable
from syncmon_ext.model.state import State
from syncmon_ext.model.task import Throttle
from syncmon_ext.services.supervisor import Supervisor
from syncmon_ext.store import schema
from syncmon_ext.store.store import Store
from tests.databases import postgres_database
from tests.faults.harness import Rig, Side, is_gone, rig

LONG = os.environ.get("SYNCMON_FAULTS") == "long"
SEEDS, ROUNDS = (10, 20) if LONG else (1, 4)  # rounds of one run
OBSERVERS = 2
LEASE_SECONDS = 5.0  # a worker has to begin within it, on a busy machine too
ROWS_A_ROUND = 400
# Who writes a checkpoint, and whose the fence is at that moment.
AUDIT = """
CREATE SCHEMA audit;
CREATE TABLE audit.writes (writer int, holder int);
CREATE FUNCTION audit.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit.writes SELECT
        split_part(current_setting('application_name'), '/', 3)::int,
        (SELECT max(token) FROM _syncmon.fences WHERE run_id = NEW.run_id);
    RETURN NEW;
END $$;
CREATE TRIGGER note AFTER INSERT ON _syncmon.checkpoints
    FOR EACH ROW EXECUTE FUNCTION audit.note();
"""


def observe(store_url: str, end: Event) -> None:
    """What a server does all the time, in a process of its own."""
    store = Store(store_url)
    supervisor = Supervisor(store, lease_seconds=LEASE_SECONDS)
    while not end.wait(0.1):
        with suppress(StoreUnavailable):
            supervisor.check()
    store.close()


@contextmanager
def observers(store_url: str) -> Iterator[None]:
    """Servers that all look at one store."""
    context = multiprocessing.get_context("spawn")
    end = context.Event()
    processes = [context.Process(target=observe, args=(store_url, end)) for _ in range(OBSERVERS)]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        end.set()
        for process in processes:
            process.join(30)
        assert [process.exitcode for process in processes] == [0] * OBSERVERS


def pass_for_another_host(it: Rig, token: int) -> None:
    """From now on nobody here can ask the system about the owner, nor end it."""
    with it.store.write() as connection:
        connection.execute(
            update(schema.runs)
            .where(schema.runs.c.run_id == it.progress().run_id, schema.runs.c.token == token)
            .values(owner_host="another-host")
        )


def one_round(it: Rig, chance: random.Random) -> None:
    """Lose the worker, by death or by a freeze from which it comes back too late."""
    before = it.lease()
    assert before.owner is not None
    worker = psutil.Process(before.owner.pid)
    freeze = chance.random() < 0.5
    time_of_it = time.monotonic() + chance.uniform(0, 0.3)
    it.until(lambda: time.monotonic() > time_of_it, watch=False)
    if freeze:
        pass_for_another_host(it, before.token)
        os.killpg(worker.pid, signal.SIGSTOP)
    else:
        os.killpg(worker.pid, signal.SIGKILL)
    try:
        it.until(lambda: it.lease().token > before.token, 60, watch=False)
        rows = it.progress().rows_committed
        if freeze:
            os.killpg(worker.pid, signal.SIGCONT)  # the new worker copies already, or begins to
        it.until(lambda: it.progress().rows_committed > rows, 60, watch=False)
        assert it.lease().token == before.token + 1, "two workers took the run over"
        it.until(lambda: is_gone(worker), 30, watch=False)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_run_that_is_taken_over_again_and_again_has_one_worker(
    kind: str, seed: int, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        url = stack.enter_context(postgres_database("store")) if kind == "postgresql" else None
        it = stack.enter_context(
            rig(
                tmp_path,
                "sqlite-postgresql",
                flights=ROWS_A_ROUND * ROUNDS + 500,
                chunk_rows=20,
                throttle={"rows": 250},
            )
        )
        if url is not None:
            it.use_store(url)
        stack.enter_context(observers(it.store.url.render_as_string(hide_password=False)))
        chance = random.Random(seed)
        it.control.start("nightly")
        it.until(lambda: it.progress().rows_committed > 0, watch=False)
        it.target.execute(AUDIT)
        for _ in range(ROUNDS):
            one_round(it, chance)
        assert it.lease().token == ROUNDS + 1
        it.control.set_throttle("nightly", Throttle())
        it.until(lambda: it.progress().state is State.COMPLETED, 120, watch=False)
        writes = it.target.execute("SELECT writer, holder FROM audit.writes")
        assert writes
        assert [pair for pair in writes if pair[0] != pair[1]] == [], "a stale token wrote"
        it.target.execute("DROP SCHEMA audit CASCADE")
        it.assert_equal()


def test_side_of_the_audit_sees_a_stale_writer(tmp_path: Path) -> None:
    """The trap itself works: a write under an older name is seen."""
    with postgres_database("trap") as url:
        side = Side("postgresql", url)
        side.execute("CREATE SCHEMA _syncmon")
        side.execute("CREATE TABLE _syncmon.fences (run_id text, token int)")
        side.execute("CREATE TABLE _syncmon.checkpoints (run_id text)")
        side.execute(AUDIT)
        side.execute("INSERT INTO _syncmon.fences VALUES ('r', 2)")
        side.execute(
            "SET application_name = 'syncmon/r/1'; INSERT INTO _syncmon.checkpoints VALUES ('r')"
        )
        assert side.execute("SELECT writer, holder FROM audit.writes") == [(1, 2)]
