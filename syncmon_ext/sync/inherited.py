"""What a server's settings mean for the workers it starts: they inherit them in the environment."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOTS_VARIABLE: Final = "SYNCMON_SQLITE_ROOTS"  # folders, written as in PATH
NOWHERE: Final = os.devnull  # no file lies below it
DETAILS_VARIABLE: Final = "SYNCMON_LOG_DETAILS"  # "1": yes


def hand_down(*, sqlite_roots: Sequence[str], log_details: bool) -> None:
    """Set this process's environment; what a setting leaves open stays as the environment has it."""
    if sqlite_roots:
        # A variable that is not set makes an empty name: that must not mean "any file".
        named = [root for root in sqlite_roots if root.strip() and os.pathsep not in root]
        os.environ[ROOTS_VARIABLE] = os.pathsep.join(named or [NOWHERE])
    if log_details:
        os.environ[DETAILS_VARIABLE] = "1"


def sqlite_roots() -> list[Path]:
    """The folders that SQLite files may be in; empty: any."""
    text = os.environ.get(ROOTS_VARIABLE, "")
    return [Path(part).expanduser() for part in text.split(os.pathsep) if part]


def logs_details() -> bool:
    """Whether the log may hold PostgreSQL's DETAIL, which repeats values of rows."""
    return os.environ.get(DETAILS_VARIABLE) == "1"
