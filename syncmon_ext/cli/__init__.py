"""The command line: ``jupyter syncmon``. Importing it loads nothing else."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command in ``sys.argv`` and exit with its code."""
    from syncmon_ext.cli.program import run

    raise SystemExit(run())
