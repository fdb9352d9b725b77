"""No command: a server that opens the page."""

from __future__ import annotations

import os
from pathlib import Path

import click

from syncmon_ext.cli.workbench import Workbench
from syncmon_ext.services.configuration import CONFIG_VARIABLE, FILE_NAME


def open_page(bench: Workbench, *, port: int | None, browser: bool, allow_root: bool) -> None:
    """Start a Jupyter server that opens the page; returns when the server ends."""
    from syncmon_ext.app import SyncmonApp  # the server is loaded for the page alone

    arguments = [] if browser else ["--no-browser"]
    # Not the environment: a store's URL may hold a password, and notebooks inherit that.
    if bench.store_url:
        arguments.append(f"--SyncmonApp.store_url={bench.store_url}")
    if bench.config:
        arguments.append(f"--SyncmonApp.config_file={Path(bench.config).absolute()}")
    elif CONFIG_VARIABLE not in os.environ and Path(FILE_NAME).exists():
        click.echo(
            f"! ./{FILE_NAME} is not read: a server could send your secrets where a folder says.\n"
            f"  if you trust it: jupyter syncmon --config {FILE_NAME}",
            err=True,
        )
    if allow_root:
        arguments.append("--allow-root")
    if port is not None:
        arguments.append(f"--port={port}")
    SyncmonApp.launch_instance(argv=arguments)  # type: ignore[no-untyped-call]  # untyped upstream
