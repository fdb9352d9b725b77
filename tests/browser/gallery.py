"""Runs of every kind in one store, as workers would have written them: what the page has to show."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from syncmon_ext.model.log import Level
from syncmon_ext.model.state import State, UnitState
from syncmon_ext.model.task import Kind, Task
from syncmon_ext.store import log, loops, runs, samples, tasks, units
from syncmon_ext.store.columns import utc_now
from syncmon_ext.store.log import NewEntry
from syncmon_ext.store.store import Store
from syncmon_ext.sync.lease import this_process
from tests.simulated import SimulatedRun

FLIGHTS = ("airlines", "airports", "planes", "weather", "flights")
ROWS = (16, 1_458, 3_322, 26_115, 336_776)
MANY = 200
SPEEDS = tuple(30_000.0 + 200 * step + 4_000 * (step % 5) for step in range(56))
LOOP_DONE = {"rows_total": 5_000, "rows_committed": 1_200}
ODD_LINES = (
    '<img src=x onerror="document.title = \'owned\'"><script>document.title = "owned"</script>',
    "\x1b[31mred\x1b[0m and \x07bell, \x1b]0;title\x07 done",
    "emoji 🛫🧑‍✈️, combining é, right-to-left \u202eabc\u202c, 中文, NBSP\u00a0here",
    "long " + "x" * 50_000,
)


def make(store: Store) -> None:
    """Write all runs: running, stalled, failed, large, odd."""
    running(store)
    stalled(store)
    failed(store)
    many(store)
    loop(store)
    failed_loop(store)
    odd(store)


def change(run: SimulatedRun, unit_id: str, **values: Any) -> None:
    """Change a unit's record."""
    run.units[unit_id] = msgspec.structs.replace(run.units[unit_id], **values)
    with run.store.write() as connection:
        units.save_units(connection, run.task_id, run.run_id, [run.units[unit_id]])


def totals(run: SimulatedRun, **values: Any) -> None:
    """Change what the run says of itself."""
    with run.store.write() as connection:
        runs.update_run(connection, run.run_id, **values)
        units.save_units(connection, run.task_id, run.run_id, [])


def running(store: Store) -> SimulatedRun:
    """In the middle of the flights, with a curve of two minutes."""
    run = SimulatedRun(store, "nightly", FLIGHTS)
    for name, rows in list(zip(FLIGHTS, ROWS, strict=True))[:4]:
        change(
            run,
            name,
            state=UnitState.COMPLETED,
            rows_total=rows,
            rows_committed=rows,
            progress=100.0,
        )
        run.write(f"{name}: {rows:,} rows copied, counts agree", level=Level.SUCCESS, unit=name)
    values = {"rows_total": 336_776, "rows_committed": 182_000, "progress": 54.04}
    change(run, "flights", state=UnitState.RUNNING, speed=41_234.0, eta_seconds=210.0, **values)
    totals(
        run,
        completed_tables=4,
        rows_total=sum(ROWS),
        rows_committed=212_911,
        overall_progress=57.9,
        bytes_committed=3_328_599,
        speed=41_234.0,
        eta_seconds=180.0,
        eta_low_seconds=130.0,
        eta_high_seconds=230.0,
        elapsed_seconds=112.0,
        current_table="flights",
        current_table_progress=54.04,
        limited_by="target",
        consistency="consistent per chunk",
    )
    with store.write() as connection:
        for step in range(len(SPEEDS)):
            samples.add_sample(
                connection,
                run.run_id,
                elapsed_seconds=2.0 * step,
                rows_committed=3_800 * step,
                bytes_committed=60_000 * step,
                overall_progress=step + 1.0,
                speed=SPEEDS[step],
                speed_bytes=None,
            )
    return run


def stalled(store: Store) -> None:
    """Nothing has been committed for a minute."""
    run = SimulatedRun(store, "stalled", ("orders",))
    run.commit("orders", 40)
    change(run, "orders", speed=0.0)
    waited = {"stalled_seconds": 62.0, "speed": 0.0, "waiting_for": "warehouse: a lock on orders"}
    totals(run, rows_total=100, overall_progress=40.0, elapsed_seconds=90.0, **waited)
    with store.write() as connection:
        for step in range(10):
            samples.add_sample(
                connection,
                run.run_id,
                elapsed_seconds=float(step),
                rows_committed=4 * step,
                bytes_committed=40 * step,
                overall_progress=4.0 * step,
                speed=883.0,
                speed_bytes=None,
            )
    run.write("no commit for 62 s, waiting for warehouse: a lock on orders", level=Level.WARNING)


def failed(store: Store) -> None:
    """Two of nine tables have failed, one with words that do not fit on a line."""
    tables = [f"crm_{name}" for name in ("accounts", "calls", "cases", "leads", "notes", "users")]
    run = SimulatedRun(store, "crm", [*tables, "orders", "a_table_with_a_rather_long_name", "x"])
    long = (
        "crm_cases: chunk (1041, 2082] cannot be written to the target: column opened_at is NOT NULL"
        " there and row 1,377 of the source holds NULL in it"
    )
    problems = {
        "crm_calls": ("table crm_calls has no key", "add key = [...] or mode = replace"),
        "crm_cases": (long, "drop the constraint, or leave such rows out with where = { … }"),
    }
    for name in run.units:
        if name not in problems:
            change(run, name, state=UnitState.COMPLETED, rows_committed=100, progress=100.0)
    for name, (error, hint) in problems.items():
        change(run, name, state=UnitState.FAILED, error=error, hint=hint, rows_committed=40)
        run.write(error, level=Level.ERROR, unit=name)
    totals(
        run,
        completed_tables=7,
        failed_tables=2,
        rows_committed=780,
        rows_total=900,
        overall_progress=86.6,
        error="2 of 9 tables failed: crm_calls, crm_cases",
        hint="mend what the rows say, then start again: what is in place stays",
    )
    run.become(State.FAILED, "failed: 2 of 9 tables")


def many(store: Store) -> None:
    """Two hundred tables, in every state."""
    names = [f"table_{number:03}" for number in range(MANY)]
    run = SimulatedRun(store, "two-hundred", names)
    for at, name in enumerate(names[:120]):
        state = UnitState.COMPLETED if at < 110 else UnitState.RUNNING
        done = 100 if at < 110 else 10 * (at - 109)
        change(run, name, state=state, rows_committed=done, progress=float(done))
    totals(
        run, completed_tables=110, rows_total=20_000, rows_committed=11_550, overall_progress=57.0
    )
    run.write(*(f"{name}: 100 rows copied, counts agree" for name in names[:110]))


def loop(store: Store) -> None:
    """A loop of a notebook, in its second epoch."""
    begun_loop(
        store,
        "training",
        overall_progress=24.0,
        speed=40.0,
        eta_seconds=95.0,
        eta_low_seconds=85.0,
        eta_high_seconds=110.0,
        elapsed_seconds=30.0,
        current_table="epoch 2, loss 0.31",
        current_table_progress=24.0,
    )
    with store.write() as connection:
        values = {"progress": 24.0, "speed": 40.0, **LOOP_DONE}
        loops.change_unit(connection, "training", "training-1", **values)


def failed_loop(store: Store) -> None:
    """A loop of a notebook whose body raised."""
    error = "ValueError: loss is not a number"
    begun_loop(store, "broken", overall_progress=24.0, elapsed_seconds=30.0, failed_tables=1)
    with store.write() as connection:
        values = {"state": UnitState.FAILED, "error": error, "progress": 24.0, **LOOP_DONE}
        loops.change_unit(connection, "broken", "broken-1", **values)
        why = ("loop_failed", error, "")
        runs.set_state(connection, "broken-1", State.FAILED, error=why, finished=True)
        tasks.bump(connection, "broken")


def begun_loop(store: Store, task_id: str, **values: Any) -> None:
    """A loop with 1,200 of 5,000 iterations, and what else its run says of itself."""
    run_id = f"{task_id}-1"
    with store.write() as connection:
        tasks.create_task(connection, Task(task_id=task_id, kind=Kind.LOOP, name=task_id))
        loops.begin(
            connection,
            task_id=task_id,
            run_id=run_id,
            name=task_id,
            total=5_000,
            owner=this_process(),
            started_at=utc_now() - timedelta(seconds=30),
        )
        runs.update_run(connection, run_id, **values, **LOOP_DONE)
        entry = NewEntry(level=Level.INFO, message="started: 5,000 iterations")
        log.append(connection, task_id, run_id, [entry])


def odd(store: Store) -> None:
    """A log that tries to be more than text, and is long."""
    run = SimulatedRun(store, "odd")
    run.write(*(f"line {number}" for number in range(1, 1_001)))
    run.write("careful with this", level=Level.WARNING)
    run.write("this went wrong", level=Level.ERROR)
    run.write(*ODD_LINES)
    run.become(State.COMPLETED)
