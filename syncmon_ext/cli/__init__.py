"""The command line: ``jupyter syncmon``. Importing it loads nothing else."""

from __future__ import annotations

__all__ = ["main"]

INTERRUPTED = 130  # as a shell counts a command that was interrupted


def main() -> None:
    """Run the command in ``sys.argv`` and exit with its code."""
    try:
        from syncmon_ext.cli.program import run

        code = run()
    except KeyboardInterrupt:  # while a slow disk still loads the modules
        code = INTERRUPTED
    raise SystemExit(code)
