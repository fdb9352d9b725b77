"""``run``: a task in the foreground, with live bars."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import click

from syncmon_ext.cli import bars
from syncmon_ext.cli.views import View, stdout_console, view_for
from syncmon_ext.cli.watch import follow, newest_seq, way
from syncmon_ext.cli.workbench import Workbench, global_options, pass_workbench
from syncmon_ext.model import words
from syncmon_ext.model.errors import WrongState
from syncmon_ext.model.progress import Progress
from syncmon_ext.model.state import ENDED, State

RESTS: Final = ENDED | {State.PAUSED}  # nothing goes on by itself from these


class Left(BaseException):
    """The person pressed Ctrl-C a second time: leave at once.

    As with KeyboardInterrupt, nothing on its way may take it for an error of its own: SQLAlchemy would
    make a StatementError of an Exception.
    """


class Interrupts:
    """Counts Ctrl-C: the first one is left to the loop, the second one raises Left."""

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count instead of raising KeyboardInterrupt, within the block."""
        before = signal.signal(signal.SIGINT, self._caught)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _caught(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self.count > 1:
            raise Left


@click.command("run")
@click.argument("task")
@click.option("--fresh", is_flag=True, help="Begin a new run, even where the last one can go on.")
@click.option("--only-failed", is_flag=True, help="Copy only the tables that failed.")
@click.option(
    "--on-finish",
    metavar="URL",
    default="",
    help="Tell this address, or named webhook, of the end.",
)
@global_options
@pass_workbench
def run_command(
    bench: Workbench, /, task: str, fresh: bool, only_failed: bool, on_finish: str
) -> int:
    """Run TASK here, with live bars, going on from its checkpoints where there are any.

    Exits with 0 when every table is in place, else with 1. Ctrl-C pauses the copy; a second one
    leaves at once, and the copy goes on without this command.
    """
    return run_task(bench, task, fresh=fresh, only_failed=only_failed, on_finish=on_finish)


def run_task(
    bench: Workbench, task: str, *, fresh: bool, only_failed: bool = False, on_finish: str = ""
) -> int:
    """Start ``task``, or join its run, and show it to its end; the exit code."""
    interrupts = Interrupts()
    with interrupts.counted():
        after = newest_seq(bench, task)
        note = _started(bench, task, fresh=fresh, only_failed=only_failed, on_finish=on_finish)
        view = view_for(stdout_console(), way(bench, task))
        pausing = PauseOnInterrupt(bench, task, interrupts, view)
        try:
            with view:
                if note:
                    view.say(note)
                progress = follow(
                    bench,
                    task,
                    view,
                    after=after,
                    ends=lambda progress: progress.state in RESTS,
                    each_turn=pausing,
                )
        except Left:
            until = " until it has paused" if pausing.acknowledged else ", and is not paused"
            click.echo(f"Left: the copy goes on without this command{until}")
            click.echo(f"  see {bench.command('status', task)}")
            return 1
    click.echo(_result(bench, task, progress))
    return 0 if progress.state is State.COMPLETED and not progress.failed_tables else 1


def _started(bench: Workbench, task: str, *, fresh: bool, only_failed: bool, on_finish: str) -> str:
    """Start the task; what to say where its run is under way already."""
    try:
        bench.control.start(task, fresh=fresh, only_failed=only_failed, on_finish=on_finish)
    except WrongState:
        state = bench.progress.progress(task).state
        if state is State.RUNNING and not fresh and not only_failed and not on_finish:
            return f"{task} is running already: watching it"
        raise
    return ""


class PauseOnInterrupt:
    """Pauses the task once Ctrl-C was pressed; called in each turn of the loop."""

    def __init__(self, bench: Workbench, task: str, interrupts: Interrupts, view: View) -> None:
        self._bench, self._task = bench, task
        self._interrupts, self._view = interrupts, view
        self._asked = False
        self.acknowledged = False  # the pause is in the store

    def __call__(self) -> None:
        if self._asked or not self._interrupts.count:
            return
        self._asked = True
        self._view.say("Pausing… Ctrl-C again leaves at once")
        try:
            self._bench.control.pause(self._task)
            self.acknowledged = True
        except WrongState as error:  # it has ended, or stops: that is shown in a moment
            self._view.say(f"! {error.message}")


def _result(bench: Workbench, task: str, progress: Progress) -> str:
    look = words.STATE_LOOK[progress.state]
    rows = words.plural(progress.rows_committed, "row")
    tables = words.plural(progress.total_tables, "table")
    line = f"{look.icon} {look.word}  {task}: {rows} in {tables}"
    line += f", {words.duration(progress.elapsed_seconds)}"
    if progress.state is State.FAILED or progress.failed_tables:
        failed = [unit for unit in progress.units if unit.error]
        line += f" ({bars.counts(progress)})"
        line += "".join(_reason(f"{unit.table}: {unit.error}", unit.hint) for unit in failed)
        if progress.error and not failed:
            line += _reason(progress.error, progress.hint)
    if progress.state is State.PAUSED:
        if progress.error:  # its hint says what must be done first, which may be a fresh start
            line += _reason(progress.error, progress.hint)
        else:
            line += f"\n  go on with: {bench.command('run', task)}"
    return line


def _reason(error: str, hint: str | None) -> str:
    return f"\n✕ {error}" + (f"\n  {hint}" if hint else "")
