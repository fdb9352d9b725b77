"""``status``: all tasks, or one, once or live."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click
import msgspec
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from syncmon_ext.cli import bars
from syncmon_ext.cli.fitting import Column, Fitting
from syncmon_ext.cli.views import LinesView, View, stdout_console, view_for
from syncmon_ext.cli.watch import POLL_SECONDS, follow, newest_seq, way
from syncmon_ext.cli.workbench import Workbench, global_options, pass_workbench
from syncmon_ext.model import words
from syncmon_ext.model.log import LogEntry, clean_message
from syncmon_ext.model.progress import Progress
from syncmon_ext.model.state import ENDED, State

EMPTY = """\
○ There are no tasks yet. Write syncmon.toml:

    [connections]
    flights.url = "sqlite:///flights.db"
    copy.url = "sqlite:///copy.db"
    [tasks.nightly]
    source = "flights"
    target = "copy"
    tables = ["airlines", "flights"]

  or make a folder with real data and a finished task: jupyter syncmon demo"""


@click.command("status")
@click.argument("task", required=False)
@click.option("--watch", is_flag=True, help="Go on showing it; Ctrl-C ends.")
@click.option("--json", "as_json", is_flag=True, help="Progress objects, one line each.")
@global_options
@pass_workbench
def status_command(bench: Workbench, /, task: str | None, watch: bool, as_json: bool) -> int:
    """Show how far TASK is, or all tasks.

    Exits with 1 where no task is known since the configuration cannot be read.
    """
    console = stdout_console()
    if task is None:
        if watch:
            _watch_all(bench, console, as_json=as_json)
        else:
            found = _all(bench)
            if not found and bench.catalog.configuration_error is not None:
                return 1  # it has been told; who has written a file needs no lesson in it
            if as_json:
                _print_json(found)
            else:
                console.print(_list(found))
    elif watch:
        view: View = JsonView() if as_json else view_for(console, way(bench, task))
        with view:
            # The state stands first: what was logged before is for `logs`.
            follow(
                bench,
                task,
                view,
                after=newest_seq(bench, task),
                ends=lambda progress: progress.state in ENDED,
            )
    elif as_json:
        _print_json([bench.progress.progress(task)])
    else:
        console.print(bars.picture(bench.progress.progress(task), way(bench, task), lines=1_000))
    return 0


class JsonView(LinesView):
    """A line of JSON for each change."""

    def __init__(self) -> None:
        super().__init__(stdout_console())
        self._last: Progress | None = None

    def show(self, progress: Progress, entries: Sequence[LogEntry]) -> None:
        """Print the progress object where it changed; the log is for ``logs``."""
        if progress != self._last:
            _print_json([progress])
            self._last = progress

    def say(self, message: str) -> None:
        """Messages are no JSON."""
        click.echo(message, err=True)


def _all(bench: Workbench) -> list[Progress]:
    return [view.progress for view in bench.progress.views()]


def _print_json(found: Sequence[Progress]) -> None:
    for progress in found:
        click.echo(msgspec.json.encode(progress))


def _watch_all(bench: Workbench, console: Console, *, as_json: bool) -> None:
    live = console.is_terminal and not console.is_dumb_terminal and not as_json
    last: list[Progress] = []
    with Live(console=console, auto_refresh=False, screen=False) if live else _Nothing() as shown:
        while True:
            bench.supervisor.check()
            found = _all(bench)
            if isinstance(shown, Live):
                shown.update(_list(found), refresh=True)
            else:
                changed = [progress for progress in found if progress not in last]
                if as_json:
                    _print_json(changed)
                else:
                    for progress in changed:
                        name = clean_message(progress.task_id)
                        click.echo(f"{name}: {bars.progress_line(progress)}")
            last = found
            time.sleep(POLL_SECONDS * 4)


class _Nothing:
    """Stands where a live picture would."""

    def __enter__(self) -> None:
        """Begin nothing."""

    def __exit__(self, *_: object) -> None:
        """End nothing."""


def _list(found: Sequence[Progress]) -> RenderableType:
    if not found:
        return Text(EMPTY)
    table = Fitting(
        (
            Column(worth=4, after=1),
            Column(worth=2),
            Column(worth=5),
            Column(worth=3, justify="right"),
            Column(worth=1, justify="right"),
            Column(worth=0, after=0),
        )
    )
    errors: list[Text] = []
    for progress in found:
        look = words.look_of(progress)
        idle = progress.state is State.IDLE
        cells = (
            Text(look.icon, look.style),
            Text(look.word, look.style),
            Text(clean_message(progress.task_id), "bold"),
            Text("" if idle else words.percent(progress.overall_progress)),
            Text("not started" if idle else words.amount(progress)),
            Text("" if idle else "  ·  ".join(words.facts(progress)), "dim"),
        )
        table.rows.append(cells)
        if progress.error:
            name = clean_message(progress.task_id)
            errors.append(Text(f"✕ {name}: {clean_message(progress.error)}", "red"))
            if progress.hint:
                errors.append(Text(f"  {clean_message(progress.hint)}", "dim"))
    return Group(table, *errors)
