"""``logs``: the newest entries of a task's log, and those to come."""

from __future__ import annotations

import time

import click

from syncmon_ext.cli import bars
from syncmon_ext.cli.views import stdout_console
from syncmon_ext.cli.watch import CHECK_SECONDS, POLL_SECONDS, entries_after, newest_seq
from syncmon_ext.cli.workbench import Workbench, global_options, pass_workbench
from syncmon_ext.model.log import Level
from syncmon_ext.services.task_log import LogFilter

MOST_ENTRIES = 1_000_000


@click.command("logs")
@click.argument("task")
@click.option(
    "-n",
    "limit",
    type=click.IntRange(0, MOST_ENTRIES),
    default=50,
    show_default=True,
    help="How many of the newest entries.",
)
@click.option("-f", "--follow", is_flag=True, help="Go on with what is logged; Ctrl-C ends.")
@click.option("--level", type=click.Choice([str(level) for level in Level]), help="Only these.")
@global_options
@pass_workbench
def logs_command(
    bench: Workbench, /, task: str, limit: int, follow: bool, level: str | None
) -> None:
    """Print the newest entries of TASK's log, oldest first."""
    console = stdout_console()
    wanted = Level(level) if level else None
    bench.catalog.task(task)
    after = newest_seq(bench, task)
    if limit:
        for entry in bench.log.entries(task, LogFilter(level=wanted, before=after + 1), limit):
            console.print(bars.log_line(entry), soft_wrap=True)
    checked_at = float("-inf")
    while follow:
        if time.monotonic() - checked_at >= CHECK_SECONDS:
            bench.supervisor.check()
            checked_at = time.monotonic()
        page = entries_after(bench, task, after)
        for entry in page:
            if wanted in (None, entry.level):
                console.print(bars.log_line(entry), soft_wrap=True)
        if page:
            after = page[-1].seq
        else:
            time.sleep(POLL_SECONDS)
