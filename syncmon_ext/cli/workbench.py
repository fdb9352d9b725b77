"""What a command works with: the store, the configuration and the services, opened when needed."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import cached_property, wraps
from typing import Any, TypeVar

import click

from syncmon_ext.services.catalog import Catalog
from syncmon_ext.services.configuration import Configuration, beside_the_server
from syncmon_ext.services.store_place import StorePlace, store_place
from syncmon_ext.services.supervisor import Supervisor
from syncmon_ext.services.task_control import TaskControl
from syncmon_ext.services.task_log import TaskLog
from syncmon_ext.services.task_progress import TaskProgress
from syncmon_ext.store.store import Store

F = TypeVar("F", bound=Callable[..., Any])


class Workbench:
    """The services of one command. They work on the store itself; no server is needed."""

    def __init__(self, config: str | None = None, store_url: str | None = None) -> None:
        self.config = config
        self.store_url = store_url

    @cached_property
    def configuration(self) -> Configuration:
        """The tasks and connections of the file; the working directory's is read, too."""
        with redirect_stdout(sys.stderr):  # Jupyter's configuration is a program, and may print
            return beside_the_server(self.config, trust_cwd=True)

    @cached_property
    def place(self) -> StorePlace:
        """Which store it is."""
        with redirect_stdout(sys.stderr):
            return store_place(self.store_url)

    @cached_property
    def store(self) -> Store:
        """The store; raises StoreUnavailable."""
        return Store(self.place.url)

    @cached_property
    def catalog(self) -> Catalog:
        """The tasks and connections; an error of the file is told once, on standard error."""
        catalog = Catalog(self.store, self.configuration)
        error = catalog.configuration_error
        if error is not None:
            click.echo(f"! {error.message}", err=True)
            if error.hint:
                click.echo(f"  {error.hint}", err=True)
        return catalog

    @cached_property
    def supervisor(self) -> Supervisor:
        """Takes over runs that lost their worker."""
        return Supervisor(self.store)

    @cached_property
    def control(self) -> TaskControl:
        """Start, pause and stop."""
        return TaskControl(self.store, self.catalog, self.supervisor)

    @cached_property
    def progress(self) -> TaskProgress:
        """Reads progress, runs and history."""
        return TaskProgress(self.store, self.catalog)

    @cached_property
    def log(self) -> TaskLog:
        """Reads log entries."""
        return TaskLog(self.store, self.catalog)

    def command(self, *words: str) -> str:
        """A command line that works with the same file and store as this one."""
        options = [] if self.config is None or "demo" in words else ["--config", self.config]
        if self.store_url is not None:
            options += ["--store", self.store_url]
        return shlex.join(["jupyter", "syncmon", *options, *words])

    def close(self) -> None:
        """Give the store's connections back, if it was opened."""
        if "store" in self.__dict__:
            self.store.close()


def global_options(command: F) -> F:
    """Add --config and --store, which may stand before and after the name of a command."""

    @click.option(
        "--config", metavar="FILE", help="The syncmon.toml ($SYNCMON_CONFIG, else ./syncmon.toml)."
    )
    @click.option(
        "--store",
        "store_url",
        metavar="URL",
        help="The store ($SYNCMON_STORE, which keeps a password off the process list; else the server's).",
    )
    @click.pass_context
    @wraps(command)
    def with_options(
        ctx: click.Context, /, config: str | None, store_url: str | None, **values: Any
    ) -> Any:
        bench = ctx.ensure_object(Workbench)
        bench.config = config or bench.config
        bench.store_url = store_url or bench.store_url
        ctx.call_on_close(bench.close)
        return ctx.invoke(command, **values)

    return with_options  # type: ignore[return-value]


pass_workbench = click.make_pass_decorator(Workbench)
