"""Calls to databases, which may hang, run in a process of their own, which can be ended."""

from __future__ import annotations

import subprocess
import sys
from typing import Final, Literal, TypeVar

import msgspec

from syncmon_ext.model import errors
from syncmon_ext.model.connection import Connection
from syncmon_ext.model.errors import SyncmonError
from syncmon_ext.model.plan import Plan, UnitPlan
from syncmon_ext.model.reject import Rejects, Replayed
from syncmon_ext.model.task import TaskSpec
from syncmon_ext.sync.results import ConnectionCheck

T = TypeVar("T")

PLAN_SECONDS: Final = 60.0
TEST_SECONDS: Final = 15.0


class DatabaseTimeout(SyncmonError):
    """A database did not answer in time."""

    code = "database_timeout"
    status = 504


class ProbeFailed(SyncmonError):
    """The process that asks the database ended without an answer."""

    code = "probe_failed"
    status = 503


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What the process is asked, on its standard input. References to secrets, never secrets."""

    call: Literal["plan", "test", "rejects", "replay"]
    source: Connection
    task_id: str = ""
    spec: TaskSpec | None = None
    target: Connection | None = None
    store_id: str = ""
    units: list[UnitPlan] = []
    limit: int = 0
    seconds: float = 0.0


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What it answers on its standard output: a result, or an error's class, message and hint."""

    result: msgspec.Raw = msgspec.Raw(b"null")
    error: tuple[str, str, str] | None = None


def plan(
    task_id: str,
    spec: TaskSpec,
    source: Connection,
    target: Connection,
    seconds: float = PLAN_SECONDS,
) -> Plan:
    """The dry run of a task. Raises what the databases said, and DatabaseTimeout."""
    question = Question(call="plan", task_id=task_id, spec=spec, source=source, target=target)
    return _ask(question, Plan, f"{source.name} or {target.name}", seconds)


def check_connection(connection: Connection, seconds: float = TEST_SECONDS) -> ConnectionCheck:
    """Whether a database can be reached, and why not. Raises DatabaseTimeout."""
    question = Question(call="test", source=connection)
    return _ask(question, ConnectionCheck, connection.name, seconds)


def rejects(target: Connection, store_id: str, task_id: str, limit: int, seconds: float) -> Rejects:
    """The bad rows that a target keeps of a task. Raises DatabaseTimeout."""
    question = Question(
        call="rejects", source=target, store_id=store_id, task_id=task_id, limit=limit
    )
    return _ask(question, Rejects, target.name, seconds)


def replay(
    source: Connection,
    target: Connection,
    store_id: str,
    task_id: str,
    units: list[UnitPlan],
    seconds: float,
) -> Replayed:
    """Another try at the bad rows of a task; what the time does not suffice for remains."""
    question = Question(
        call="replay",
        source=source,
        target=target,
        store_id=store_id,
        task_id=task_id,
        units=units,
        seconds=seconds / 2,  # it ends by itself well before it would be ended
    )
    return _ask(question, Replayed, f"{source.name} or {target.name}", seconds)


def _ask(question: Question, kind: type[T], who: str, seconds: float) -> T:
    try:
        done = subprocess.run(
            [sys.executable, "-m", "syncmon_ext.services.probe_process"],
            input=msgspec.json.encode(question),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DatabaseTimeout(
            f"{who} did not answer within {seconds:g} s",
            hint="check that the database runs and can be reached from here",
        ) from None
    try:
        answer = msgspec.json.decode(done.stdout, type=Answer)
    except msgspec.DecodeError as error:
        raise ProbeFailed(
            f"asking {who} failed: the process ended with {done.returncode}",
            hint="run `jupyter syncmon doctor`",
        ) from error
    if answer.error is not None:
        name, message, hint = answer.error
        raise _error_class(name)(message, hint=hint)
    return msgspec.json.decode(answer.result, type=kind)


def _error_class(name: str) -> type[SyncmonError]:
    found = getattr(errors, name, SyncmonError)
    return found if isinstance(found, type) and issubclass(found, SyncmonError) else SyncmonError
