"""A worker that stands by: real processes, which take a run, or go when nobody needs them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from syncmon_ext.model.state import State
from syncmon_ext.sync import launcher
from tests.faults.harness import Rig, is_gone, rig
from tests.workers import standing_by


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """A task whose workers' output is below the test's folder."""
    monkeypatch.setenv(launcher.OUTPUT_VARIABLE, str(tmp_path / "out"))
    with rig(tmp_path, "sqlite-sqlite") as made:
        yield made
        made.supervisor.stand_down()


def one(copy: Rig) -> psutil.Process:
    """The worker that stands by; it detaches itself first."""
    found: list[psutil.Process] = []

    def there() -> bool:
        found[:] = standing_by(str(copy.store.url), os.getpid())
        return len(found) == 1

    until(copy, there)
    return found[0]


def until(copy: Rig, condition: Callable[[], bool]) -> None:
    copy.until(condition, 20, watch=False)


def test_run_is_given_to_the_worker_that_stands_by(copy: Rig, tmp_path: Path) -> None:
    copy.supervisor.stand_by()
    ready = one(copy)
    copy.supervisor.stand_by()
    assert one(copy).pid == ready.pid, "one is enough"
    copy.control.start("nightly")
    until(copy, lambda: copy.owner() is not None)
    owner = copy.owner()
    assert owner is not None
    assert owner.pid == ready.pid
    copy.finish()
    run_id = copy.progress().run_id
    assert (tmp_path / "out" / f"{run_id}.out").read_text() == "", "what it prints is found there"
    until(copy, lambda: is_gone(ready))


def test_output_goes_to_a_folder_that_is_named_from_where_the_starter_is(
    copy: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(launcher.OUTPUT_VARIABLE, "logs")
    copy.supervisor.stand_by()
    ready = one(copy)
    copy.control.start("nightly")
    until(copy, lambda: copy.owner() is not None)
    owner = copy.owner()
    assert owner is not None
    assert owner.pid == ready.pid
    copy.finish()
    assert (tmp_path / "logs" / f"{copy.progress().run_id}.out").exists()


def test_nobody_stays_when_it_is_not_needed(copy: Rig) -> None:
    copy.supervisor.stand_by()
    ready = one(copy)
    copy.supervisor.stand_down()
    until(copy, lambda: is_gone(ready))


def test_worker_that_died_while_it_stood_by_is_no_loss(copy: Rig) -> None:
    copy.supervisor.stand_by()
    ready = one(copy)
    ready.send_signal(signal.SIGKILL)
    until(copy, lambda: is_gone(ready))
    copy.control.start("nightly")
    copy.finish()
    assert copy.progress().state is State.COMPLETED


def test_worker_has_the_environment_of_the_start(
    copy: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Secrets are looked up there."""
    copy.supervisor.stand_by()
    ready = one(copy)
    monkeypatch.setenv("WAREHOUSE_PASSWORD", "another")
    copy.control.start("nightly")
    until(copy, lambda: copy.owner() is not None)
    owner = copy.owner()
    assert owner is not None
    assert owner.pid != ready.pid
    assert psutil.Process(owner.pid).environ()["WAREHOUSE_PASSWORD"] == "another"
    copy.finish()
    until(copy, lambda: is_gone(ready))
