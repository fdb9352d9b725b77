"""Tries a job again where the database, not the data, was at fault."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from syncmon_ext.model.errors import DatabaseUnavailable, SnapshotLost
from syncmon_ext.store.deferred import Deferred
from syncmon_ext.sync.pool import tell

if TYPE_CHECKING:
    import stamina
else:
    stamina = Deferred("stamina")

# A database that is restarted is back within minutes; one that is gone for longer fails the unit, and
# the run can be resumed from its checkpoints.
RETRY_SECONDS: Final = float(os.environ.get("SYNCMON_RETRY_SECONDS", "600"))
FIRST_WAIT_SECONDS: Final = 0.2
LONGEST_WAIT_SECONDS: Final = 15.0
JITTER_SECONDS: Final = 1.0
TELL_SECONDS: Final = 15.0  # from the first telling of an outage to the next, each twice the last


def attempted(label: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """``function(*arguments)``, tried again with back-off and jitter on a lost or busy database.

    That tries fail is told under ``label`` when it begins, then ever more rarely. The last error is raised
    as it is.
    """
    try:
        return function(*arguments)
    except DatabaseUnavailable as error:
        if not _worth_another_try(error):
            raise  # the same snapshot will not come back
        return _again(label, error, function, *arguments)


def _again(
    label: str, first: DatabaseUnavailable, function: Callable[..., Any], *arguments: Any
) -> Any:
    wait, due = TELL_SECONDS, time.monotonic()
    for attempt in stamina.retry_context(
        on=_worth_another_try,
        attempts=None,
        timeout=RETRY_SECONDS,
        wait_initial=FIRST_WAIT_SECONDS,
        wait_max=LONGEST_WAIT_SECONDS,
        wait_jitter=JITTER_SECONDS,
    ):
        with attempt:
            try:
                if attempt.num == 1:
                    raise first  # it has failed already
                result = function(*arguments)
            except SnapshotLost:
                raise
            except DatabaseUnavailable as error:
                if time.monotonic() >= due:
                    tell(
                        label,
                        f"try {attempt.num} failed: {error.message}; "
                        f"trying again for {RETRY_SECONDS:,.0f} s at most",
                    )
                    wait, due = 2 * wait, time.monotonic() + wait
                raise
            tell(label, f"try {attempt.num} succeeded: it goes on", over=True)
            return result
    raise AssertionError("unreachable: the context returns or raises")


def _worth_another_try(error: Exception) -> bool:
    return isinstance(error, DatabaseUnavailable) and not isinstance(error, SnapshotLost)
