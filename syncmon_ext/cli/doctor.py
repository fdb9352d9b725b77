"""``doctor``: whether everything that syncmon needs is there, and what abandoned runs left."""

from __future__ import annotations

import os

import click

from syncmon_ext.cli.examine import Finding, findings
from syncmon_ext.cli.workbench import Workbench, global_options, pass_workbench
from syncmon_ext.model.errors import SyncmonError
from syncmon_ext.model.log import clean_message
from syncmon_ext.model.state import ACTIVE, RESUMABLE
from syncmon_ext.store import runs
from syncmon_ext.sync import jobs
from syncmon_ext.sync.results import Leftover


@click.command("doctor")
@click.option("--clean", metavar="TARGET", help="List what abandoned runs left in this connection.")
@click.option("--yes", is_flag=True, help="With --clean: drop what is listed.")
@click.option(
    "--through",
    metavar="URL",
    default="",
    envvar="SYNCMON_URL",
    help="Check a server at the address that a browser has, with $SYNCMON_TOKEN.",
)
@global_options
@pass_workbench
def doctor_command(bench: Workbench, /, clean: str | None, yes: bool, through: str) -> int:
    """Check the installation, servers, the store, the connections and the workers.

    Exits with 1 when something is wrong.
    """
    if clean is not None:
        return _clean(bench, clean, drop=yes)
    if yes:
        raise click.UsageError("--yes belongs to --clean TARGET")
    wrong = 0
    for finding in findings(bench, through, os.environ.get("SYNCMON_TOKEN", "")):
        _print(finding)
        wrong += finding.is_wrong
    if wrong:
        click.echo(f"\n{wrong} to mend")
    return 1 if wrong else 0


def _print(finding: Finding) -> None:
    click.echo(f"{finding.icon} {finding.subject:<14} {clean_message(finding.message)}")
    if finding.hint:
        click.echo(f"  {'':<14} {clean_message(finding.hint)}")


def _clean(bench: Workbench, name: str, *, drop: bool) -> int:
    target = bench.catalog.connection(name)
    found = jobs.leftovers(target)
    if not found:
        click.echo(f"✓ nothing is left over in {name}")
        return 0
    needed = _needed(bench, found)
    abandoned = [item for item in found if item.run_id not in needed]
    for item in found:
        state = needed.get(item.run_id)
        click.echo(f"{'·' if state else '!'} {_words(item, bench.store.store_id)}")
        if state:
            click.echo(f"  kept: its run is {state}; stop {item.task_id} to clear it")
    if not abandoned:
        return 0
    if not drop:
        click.echo(
            f"drop what is marked with !: {bench.command('doctor', '--clean', name, '--yes')}"
        )
        return 1
    try:
        gone = jobs.clean(target, sorted({item.run_id for item in abandoned}))
    except SyncmonError as error:
        raise type(error)(f"{name}: {error.message}", hint=error.hint) from error
    click.echo(f"✓ dropped what {len({item.run_id for item in gone})} runs left in {name}")
    return 0


def _needed(bench: Workbench, found: list[Leftover]) -> dict[str, str]:
    """The states of those runs that can still go on, by run id."""
    states = {}
    with bench.store.read() as connection:
        for run_id in {item.run_id for item in found}:
            run = runs.run_by_id(connection, run_id)
            if run is not None and run.state in ACTIVE | RESUMABLE:
                states[run_id] = str(run.state)
    return states


def _words(item: Leftover, store_id: str) -> str:
    table = f"{item.schema}.{item.table}" if item.schema else item.table
    parts = [f"{table}: task {item.task_id}, run {item.run_id}"]
    if item.staging:
        parts.append(f"staging table {item.staging}")
    if item.chunks:
        parts.append(f"{item.chunks:,} chunks of {item.rows:,} rows")
    if item.store_id != store_id:
        parts.append(f"of another store ({item.store_id}), whose runs cannot be seen from here")
    return clean_message(", ".join(parts))
