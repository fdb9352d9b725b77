"""The program: its commands, and the one place where an error becomes a message and an exit code."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final

import click

from syncmon_ext._version import __version__
from syncmon_ext.cli.driver import DRIVER_HINT, driver_trouble
from syncmon_ext.cli.workbench import Workbench, global_options
from syncmon_ext.model.errors import SyncmonError

NAME: Final = "jupyter syncmon"
DEBUG_VARIABLE: Final = "SYNCMON_DEBUG"

# Command -> module below syncmon_ext.cli, in the order of the help. Loaded when it is called: a command
# must not wait for the imports of another.
COMMANDS: Final = {
    "run": "run",
    "start": "control",
    "pause": "control",
    "stop": "control",
    "status": "status",
    "logs": "logs",
    "plan": "plan",
    "export": "export",
    "demo": "demo",
    "doctor": "doctor",
}


class LazyGroup(click.Group):
    """A group that imports the module of a command when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"syncmon_ext.cli.{COMMANDS[cmd_name]}")
        found: click.Command = getattr(module, f"{cmd_name}_command")
        return found


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Without a command: opens the page in a server.",
)
@global_options
@click.option("--port", type=click.IntRange(0, 65535), help="The port of the page's server.")
@click.option("--no-browser", is_flag=True, help="Start the page's server without a browser.")
@click.option("--allow-root", is_flag=True, help="Let the page's server run as root.")
@click.version_option(__version__, prog_name="syncmon")
@click.pass_context
def program(ctx: click.Context, port: int | None, no_browser: bool, allow_root: bool) -> None:
    """Copy tables between databases, and see and steer the copies."""
    if ctx.invoked_subcommand is None:
        from syncmon_ext.cli.page import open_page

        open_page(
            ctx.ensure_object(Workbench),
            port=port,
            browser=not no_browser,
            allow_root=allow_root,
        )
    elif port is not None or no_browser or allow_root:
        raise click.UsageError(
            "--port, --no-browser and --allow-root belong to the page, which needs no command"
        )


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; its exit code: 0, 1 where something is wrong, 2 for a wrong usage."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that knows no ✓ shows a ?
    try:
        code = program.main(arguments, prog_name=NAME, standalone_mode=False, obj=Workbench())
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except SyncmonError as error:
        say_error(error)
        return 1
    except (click.Abort, KeyboardInterrupt):
        return 130  # as a shell counts a command that was interrupted
    except BrokenPipeError:
        # The reader has seen enough; nothing more must be written at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        trouble = driver_trouble() if isinstance(error, ImportError) else None
        if trouble is not None:
            _say(f"PostgreSQL: {trouble}", DRIVER_HINT)
            return 1
        _say(
            f"syncmon has a defect: {type(error).__name__}: {error}",
            f"set {DEBUG_VARIABLE}=1 to see where, and report it",
        )
        return 1
    return code if isinstance(code, int) else 0


def say_error(error: SyncmonError) -> None:
    """Write the message and the remedy to standard error."""
    _say(error.message, error.hint)


def _say(message: str, hint: str) -> None:
    click.echo(f"✕ {message}", err=True)
    if hint:
        click.echo(f"  {hint}", err=True)
