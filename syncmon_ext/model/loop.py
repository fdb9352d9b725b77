"""A loop: a Python loop that reports itself, and what it is told in return."""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

import msgspec

from syncmon_ext.model.log import Level
from syncmon_ext.model.run import Owner
from syncmon_ext.model.state import State

LONGEST_NAME: Final = 200  # characters
LONGEST_ID: Final = 60  # leaves room for a suffix within an id's 64 characters
MOST_ENTRIES: Final = 500  # of one report
LARGEST: Final = 2**63 - 1  # that a store's BIGINT holds

_NO_SLUG = re.compile(r"[^A-Za-z0-9_]+")

Count = Annotated[int, msgspec.Meta(ge=0, le=LARGEST)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e10)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_NAME)]


class Phase(StrEnum):
    """Where a loop stands when it reports."""

    RUNNING = "running"
    WAITING = "waiting"  # it holds still, as it was told to
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"


class NewLoop(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A loop that begins. ``run_id`` is the program's own choice: sent again, it is the same loop."""

    run_id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
    name: Name
    owner: Owner  # the process that runs the loop
    total: Count | None = None
    elapsed_seconds: Seconds = 0.0  # since it began


class LoopEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A log entry of a loop."""

    level: Level
    message: str
    time: datetime


class LoopReport(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far a loop is. ``number`` counts its reports from 1: sent again, one is taken once."""

    run_id: str
    token: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
    number: Annotated[int, msgspec.Meta(ge=1, le=LARGEST)]
    phase: Phase
    rows_committed: Count  # iterations done
    elapsed_seconds: Seconds  # pauses excluded
    total: Count | None = None
    note: Annotated[str, msgspec.Meta(max_length=LONGEST_NAME)] | None = None  # what it is at
    error: str | None = None
    entries: Annotated[list[LoopEntry], msgspec.Meta(max_length=MOST_ENTRIES)] = []


class LoopOrders(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a report: the state that the loop must be in, with ``pausing`` and ``stopping``."""

    task_id: str
    run_id: str
    token: int
    state: State


def loop_id(name: str) -> str:
    """The id of the task that shows a loop of this name.

    >>> loop_id("Cleaning: rows (2013)")
    'Cleaning-rows-2013'
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    slug = _NO_SLUG.sub("-", plain).strip("-_")[:LONGEST_ID].rstrip("-_")
    return slug or "loop"
