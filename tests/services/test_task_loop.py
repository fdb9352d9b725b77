from __future__ import annotations

import os
import socket
import subprocess
import sys
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from syncmon_ext.model.errors import RunNotFound, TaskNotFound, WrongState
from syncmon_ext.model.log import Level
from syncmon_ext.model.loop import LoopEntry, LoopOrders, LoopReport, NewLoop, Phase, loop_id
from syncmon_ext.model.run import Owner
from syncmon_ext.model.state import State, UnitState
from syncmon_ext.model.task import Throttle
from syncmon_ext.services import loop_watch
from syncmon_ext.services.services import Services, Settings
from syncmon_ext.services.task_log import LogFilter
from syncmon_ext.services.task_loop import LoopLost
from syncmon_ext.store import runs
from syncmon_ext.store.store import Store
from syncmon_ext.sync.lease import LeaseWatch, started, this_process

FAR_AWAY = Owner(host="elsewhere.example", boot_id="b", pid=4, process_started=1.0)


@pytest.fixture
def services(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Services:
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path))
    url = store.url.render_as_string(hide_password=False)
    return Services(Settings(store_url=url))


@dataclass
class Program:
    """A loop's side of the talk."""

    services: Services
    name: str = "cleaning"
    owner: Owner | None = None
    total: int | None = 100

    def __post_init__(self) -> None:
        self.number = 0
        self.orders = self.services.loops.begin(
            NewLoop(
                run_id=uuid.uuid4().hex,
                name=self.name,
                owner=self.owner or this_process(),
                total=self.total,
            )
        )

    @property
    def task_id(self) -> str:
        return self.orders.task_id

    def report(self, phase: Phase = Phase.RUNNING, rows: int = 0, **values: Any) -> State:
        self.number += 1
        return self.again(phase, rows, **values).state

    def again(self, phase: Phase, rows: int, **values: Any) -> LoopOrders:
        values = {"elapsed_seconds": float(self.number), "total": self.total, **values}
        return self.services.loops.report(
            self.task_id,
            LoopReport(
                run_id=self.orders.run_id,
                token=self.orders.token,
                number=self.number,
                phase=phase,
                rows_committed=rows,
                **values,
            ),
        )

    def log(self) -> list[tuple[str, str]]:
        found = self.services.log.entries(self.task_id, LogFilter(), 100)
        return [(str(entry.level), entry.message) for entry in found]


@pytest.fixture
def dead() -> Owner:
    """A process of this host that is gone."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    began = started(child.pid)
    child.communicate(b"\n")
    mine = this_process()
    return Owner(host=mine.host, boot_id=mine.boot_id, pid=child.pid, process_started=began)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cleaning", "cleaning"),
        ("Cleaning: rows (2013)", "Cleaning-rows-2013"),
        ("größe", "groe"),
        ("日本", "loop"),
        ("../../etc", "etc"),
        ("x" * 200, "x" * 60),
    ],
)
def test_id_is_made_of_the_name(name: str, expected: str) -> None:
    assert loop_id(name) == expected


def test_loop_is_a_task_with_progress(services: Services) -> None:
    loop = Program(services)
    assert loop.orders.state is State.RUNNING
    for rows in (10, 20, 30):
        assert loop.report(rows=rows, note="batch 3") is State.RUNNING
    seen = services.progress.progress("cleaning")
    assert (seen.state, seen.rows_committed, seen.rows_total) == (State.RUNNING, 30, 100)
    assert seen.overall_progress == 30.0
    assert seen.current_table == "batch 3"
    assert seen.speed == pytest.approx(10.0)
    assert seen.eta_seconds is not None
    assert [(u.unit_id, u.state, u.rows_committed) for u in seen.units] == [
        ("cleaning", UnitState.RUNNING, 30)
    ]
    assert loop.report(Phase.COMPLETED, 100) is State.COMPLETED
    done = services.progress.progress("cleaning")
    assert (done.overall_progress, done.completed_tables, done.eta_seconds) == (100.0, 1, None)
    assert done.finished_at is not None
    assert loop.log() == [
        ("info", "started: 100 iterations"),
        ("success", "completed: 100 iterations"),
    ]
    history = services.progress.history("cleaning", None, 100)
    assert [sample.rows_committed for sample in history] == [10, 20, 30, 100]


def test_loop_that_stalls_has_no_speed_and_no_estimate(services: Services) -> None:
    loop = Program(services)
    for rows in (10, 20, 30):
        loop.report(rows=rows)
    loop.report(rows=30, elapsed_seconds=90.0)
    seen = services.progress.progress("cleaning")
    assert seen.stalled_seconds > 0
    for figures in (seen, *seen.units):
        assert (figures.speed, figures.eta_seconds) == (0.0, None)
    assert (seen.eta_low_seconds, seen.eta_high_seconds) == (None, None)


def test_loop_of_unknown_length_has_no_percentage(services: Services) -> None:
    loop = Program(services, total=None)
    loop.report(rows=10)
    assert services.progress.progress("cleaning").overall_progress is None
    loop.report(Phase.COMPLETED, 12)
    assert services.progress.progress("cleaning").rows_total == 12


def test_loop_that_was_left_says_so(services: Services) -> None:
    loop = Program(services)
    loop.report(Phase.COMPLETED, 40)
    assert loop.log()[-1] == ("success", "completed: 40 iterations of 100: the loop was left")


def test_pause_resume_and_stop(services: Services) -> None:
    loop = Program(services)
    assert services.control.pause("cleaning").state is State.PAUSING
    assert loop.report(rows=1) is State.PAUSING
    assert loop.report(Phase.WAITING, 1) is State.PAUSED
    assert services.progress.progress("cleaning").units[0].state is UnitState.PAUSED
    assert services.control.start("cleaning").state is State.RUNNING
    assert loop.report(Phase.WAITING, 1) is State.RUNNING, "it has not heard of it yet"
    assert loop.report(rows=2) is State.RUNNING
    assert services.control.stop("cleaning").state is State.STOPPING
    assert loop.report(rows=3) is State.STOPPING
    assert loop.report(Phase.STOPPED, 3) is State.STOPPED
    seen = services.progress.progress("cleaning")
    assert (seen.state, seen.units[0].state) == (State.STOPPED, UnitState.STOPPED)


def test_paused_loop_can_be_stopped(services: Services) -> None:
    loop = Program(services)
    services.control.pause("cleaning")
    loop.report(Phase.WAITING)
    assert services.control.stop("cleaning").state is State.STOPPING
    assert loop.report(Phase.STOPPED) is State.STOPPED


def test_loop_that_ends_while_it_is_to_stop(services: Services) -> None:
    loop = Program(services)
    services.control.stop("cleaning")
    assert loop.report(Phase.COMPLETED, 100) is State.STOPPED


def test_interrupt_ends_a_paused_loop(services: Services) -> None:
    loop = Program(services)
    services.control.pause("cleaning")
    loop.report(Phase.WAITING)
    assert loop.report(Phase.FAILED, error="KeyboardInterrupt") is State.FAILED


def test_failed_loop_tells_the_last_line(services: Services) -> None:
    loop = Program(services)
    assert loop.report(Phase.FAILED, 7, error="ValueError: no \x1b[31mcolour") is State.FAILED
    seen = services.progress.progress("cleaning")
    assert seen.error == seen.units[0].error == "ValueError: no colour"
    assert loop.log()[-1] == ("error", "failed after 7 iterations: ValueError: no colour")


def test_stop_does_not_hide_a_failure(services: Services) -> None:
    Program(services).report(Phase.FAILED, 7, error="ValueError: no colour")
    with pytest.raises(
        WrongState, match="loop 'cleaning' is failed: there is nothing left to stop"
    ):
        services.control.stop("cleaning")
    seen = services.progress.progress("cleaning")
    assert (seen.state, seen.error) == (State.FAILED, "ValueError: no colour")


def test_start_does_not_begin_a_loop(services: Services) -> None:
    loop = Program(services)
    loop.report(Phase.COMPLETED, 1)
    with pytest.raises(WrongState, match="its program starts it"):
        services.control.start("cleaning")
    with pytest.raises(WrongState, match="its pace is its own"):
        services.control.set_throttle("cleaning", Throttle(rows=1))


def test_same_name_again_is_a_new_run(services: Services) -> None:
    first = Program(services)
    first.report(Phase.COMPLETED, 100)
    second = Program(services, name="cleaning")
    assert second.task_id == "cleaning"
    assert [run.run_id for run in services.progress.runs("cleaning", 9)] == [
        second.orders.run_id,
        first.orders.run_id,
    ]


def test_same_name_while_active_gets_a_suffix(services: Services) -> None:
    first, second, third = Program(services), Program(services), Program(services)
    assert [p.task_id for p in (first, second, third)] == ["cleaning", "cleaning-2", "cleaning-3"]
    second.report(Phase.COMPLETED, 1)
    assert Program(services).task_id == "cleaning-2"
    services.control.pause("cleaning")
    first.report(Phase.WAITING)
    assert Program(services).task_id == "cleaning-4", "a paused loop is active"


def test_beginning_twice_is_beginning_once(services: Services) -> None:
    loop = NewLoop(run_id=uuid.uuid4().hex, name="cleaning", owner=this_process())
    assert services.loops.begin(loop) == services.loops.begin(loop)
    assert len(services.progress.runs("cleaning", 9)) == 1


def test_report_that_is_sent_again_counts_once(services: Services) -> None:
    loop = Program(services)
    entry = LoopEntry(level=Level.WARNING, message="odd row", time=datetime.now(UTC))
    loop.report(rows=5, entries=[entry])
    assert loop.again(Phase.RUNNING, 5, entries=[entry]).state is State.RUNNING
    assert loop.log().count(("warning", "odd row")) == 1
    loop.number += 1
    with pytest.raises(LoopLost):
        loop.report(rows=6)


def test_reports_of_others_are_refused(services: Services) -> None:
    loop = Program(services)
    mine = loop.orders
    loop.orders = msgspec.structs.replace(mine, token=2)
    with pytest.raises(LoopLost):
        loop.report(rows=1)
    loop.orders = msgspec.structs.replace(mine, run_id="0" * 32)
    with pytest.raises(RunNotFound):
        loop.report(rows=1)
    loop.orders, loop.number = mine, 0
    loop.report(Phase.COMPLETED, 1)
    services.catalog.delete("cleaning")
    with pytest.raises(TaskNotFound):
        loop.report(rows=1)


@pytest.mark.parametrize("paused", [False, True])
def test_lost_kernel_makes_the_loop_failed(services: Services, dead: Owner, paused: bool) -> None:
    loop = Program(services, owner=dead)
    with services.store.write() as connection:  # as it was before the process went
        if paused:
            runs.set_state(connection, loop.orders.run_id, State.PAUSED)
    services.supervisor.check()
    seen = services.progress.progress("cleaning")
    assert seen.state is State.FAILED
    assert seen.error == "the kernel that ran it is gone"
    assert seen.units[0].state is UnitState.FAILED
    assert loop.log()[-1] == ("error", "the kernel that ran it is gone")


def test_lost_kernel_of_a_stopping_loop_is_a_stop(services: Services, dead: Owner) -> None:
    loop = Program(services, owner=dead)
    with services.store.write() as connection:
        runs.set_state(connection, loop.orders.run_id, State.STOPPING)
    services.supervisor.check()
    assert services.progress.progress("cleaning").state is State.STOPPED


def test_lost_loop_makes_room_for_its_name(services: Services, dead: Owner) -> None:
    Program(services, owner=dead)
    assert Program(services).task_id == "cleaning"


def test_silent_kernel_elsewhere_is_lost_by_the_observer_s_clock(services: Services) -> None:
    loop = Program(services, owner=FAR_AWAY)
    now = [0.0]
    services.supervisor._watch = LeaseWatch(lambda: now[0])
    services.supervisor.check()
    now[0] = loop_watch.SILENT_SECONDS - 1
    services.supervisor.check()
    assert services.progress.progress("cleaning").state is State.RUNNING
    loop.report(rows=1)
    services.supervisor.check()
    now[0] += loop_watch.SILENT_SECONDS + 1
    services.supervisor.check()
    assert services.progress.progress("cleaning").state is State.FAILED
    assert loop.report(rows=2) is State.RUNNING, "it was only silent"
    assert services.progress.progress("cleaning").error is None
    assert ("info", "the loop reports again") in loop.log()


def test_loop_of_this_host_is_not_lost_by_silence(services: Services) -> None:
    Program(services)
    now = [0.0]
    services.supervisor._watch = LeaseWatch(lambda: now[0])
    for now[0] in (0.0, 1000.0, 2000.0):
        services.supervisor.check()
    assert services.progress.progress("cleaning").state is State.RUNNING
    assert (os.getpid(), socket.gethostname()) == (this_process().pid, this_process().host)
