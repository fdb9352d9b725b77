"""``start``, ``pause`` and ``stop``: commands that return when they are acknowledged."""

from __future__ import annotations

import click

from syncmon_ext.cli import bars
from syncmon_ext.cli.workbench import Workbench, global_options, pass_workbench
from syncmon_ext.model.log import clean_message
from syncmon_ext.model.progress import Progress


@click.command("start")
@click.argument("task")
@click.option("--fresh", is_flag=True, help="Begin a new run, even where the last one can go on.")
@click.option("--only-failed", is_flag=True, help="Copy only the tables that failed.")
@global_options
@pass_workbench
def start_command(bench: Workbench, /, task: str, fresh: bool, only_failed: bool) -> None:
    """Start TASK in the background, going on from its checkpoints where there are any."""
    _tell(bench.control.start(task, fresh=fresh, only_failed=only_failed))
    click.echo(f"  watch it with: {bench.command('status', task, '--watch')}")


@click.command("pause")
@click.argument("task")
@global_options
@pass_workbench
def pause_command(bench: Workbench, /, task: str) -> None:
    """Pause TASK: what is in flight is committed, then nothing runs until it is started."""
    _tell(bench.control.pause(task))


@click.command("stop")
@click.argument("task")
@global_options
@pass_workbench
def stop_command(bench: Workbench, /, task: str) -> None:
    """Stop TASK: tables in place stay, all others are as they were before the run."""
    _tell(bench.control.stop(task))


def _tell(progress: Progress) -> None:
    click.echo(f"{clean_message(progress.task_id)}: {bars.progress_line(progress)}")
