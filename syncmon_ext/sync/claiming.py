"""Taking a target over: older owners end first, then the token is raised."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Final

from syncmon_ext.model.connection import Connection
from syncmon_ext.model.errors import DatabaseUnavailable
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.sync import fence, ledger
from syncmon_ext.sync.databases import sessions
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.faults import fault_point
from syncmon_ext.sync.ownership import Ownership

END_SECONDS: Final = 20.0  # that a backend may take to end once it was told to
POLL_SECONDS: Final = 0.05


def claim(target: Connection, own: Ownership, units: Sequence[UnitPlan]) -> None:
    """Take the fences of all ``units``; raises TargetBusy or FenceLost, and then none was taken."""
    fault_point("claim.begin")
    with sessions.opened(target, own.application_name) as session:
        backend = os.getpid()
        if isinstance(session, PostgresSession):
            end_older_owners(session, own)
            backend = session.pid
        with session.transaction():
            ledger.create(session)
            fence.claim(session, own, units, backend)
            fault_point("claim.before_commit")
        fault_point("claim.after_commit")


def end_older_owners(session: PostgresSession, own: Ownership) -> None:
    """End the backends of this run's older owners, and wait until they are gone.

    One that is past its COMMIT ends with its rows in place: its checkpoint is read afterwards.
    """
    _end(session, f"syncmon/{own.run_id}/", lambda name: _token(name) < own.token)


def end_namesakes(session: PostgresSession) -> None:
    """End the other backends of this session's own name, as above: a job that another machine has lost
    may still be at work there."""
    _end(session, session.application_name, lambda name: name == session.application_name)


def end_jobs(target: Connection, own: Ownership) -> None:
    """End the backends in which jobs of ``own`` run on other machines, as above."""
    with sessions.opened(target, own.application_name) as session:
        if isinstance(session, PostgresSession):
            prefix, ending = f"syncmon/{own.run_id}/", f"/{own.token}"
            _end(session, prefix, lambda name: name[len(prefix) :].endswith(ending))


def _end(session: PostgresSession, prefix: str, chosen: Callable[[str], bool]) -> None:
    deadline = time.monotonic() + END_SECONDS
    while True:
        found = [
            pid
            for pid, name in session.execute(
                "SELECT pid, application_name FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                "AND datname = current_database() AND starts_with(application_name, %s)",
                (prefix,),
            )
            if chosen(name)
        ]
        if not found:
            return
        session.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", (found,))
        if time.monotonic() > deadline:
            raise DatabaseUnavailable(
                f"{session.name}: backend {found[0]} of an older worker does not end",
                hint=f"SELECT pg_terminate_backend({found[0]})",
            )
        time.sleep(POLL_SECONDS)


def _token(application_name: str) -> int:
    last = application_name.rpartition("/")[2]
    return int(last) if last.isdecimal() else 0
