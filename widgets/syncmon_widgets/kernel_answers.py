"""Answers the requests that a display sends through the kernel, as the server's API would."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from syncmon_ext.model.errors import InvalidRequest, SyncmonError
from syncmon_ext.model.log import Level, LogEntry
from syncmon_ext.model.sample import HistorySample
from syncmon_widgets.backend import Backend, LogQuery
from syncmon_widgets.relay import entries_of

OK: Final = 200
ACCEPTED: Final = 202
MOST_ENTRIES: Final = 1_000  # of a log that are relayed at once


def answer(backend: Backend, method: str, path: str, body: Any, key: str) -> tuple[int, str]:
    """The status and the JSON text of the answer; ``key`` makes a repeated start the same start."""
    try:
        status, value = _answered(backend, method, path, body, key)
    except SyncmonError as error:
        said = {"code": error.code, "message": error.message, "hint": error.hint}
        return error.status, msgspec.json.encode({"error": said}).decode()
    return status, msgspec.json.encode(value).decode()


def _answered(backend: Backend, method: str, path: str, body: Any, key: str) -> tuple[int, Any]:
    address = urlsplit(path)
    query = {name: values[-1] for name, values in parse_qs(address.query).items()}
    parts = [unquote(part) for part in address.path.split("/")]
    match method, parts:
        case "GET", ["tasks"]:
            return OK, {"tasks": backend.tasks(), "configuration_error": None}
        case "GET", ["tasks", task_id]:
            return OK, backend.task(task_id)
        case "GET", ["tasks", task_id, "progress"]:
            return OK, backend.progress(task_id)
        case "GET", ["tasks", task_id, "logs"]:
            return OK, {"logs": _logs(backend, task_id, query)}
        case "GET", ["tasks", task_id, "plan"]:
            return OK, backend.plan(task_id)
        case "GET", ["tasks", task_id, "runs"]:
            return OK, {"runs": backend.runs(task_id)}
        case "GET", ["tasks", task_id, "history"]:
            rows = backend.history(task_id, query.get("run")).to_pylist()
            return OK, {"samples": msgspec.convert(rows, list[HistorySample])}
        case "POST", ["tasks", task_id, "start"]:
            wanted = body if isinstance(body, dict) else {}
            fresh, failed = (wanted.get(name) is True for name in ("fresh", "only_failed"))
            return ACCEPTED, backend.start(task_id, fresh=fresh, only_failed=failed, key=key)
        case "POST", ["tasks", task_id, "pause"]:
            return ACCEPTED, backend.pause(task_id)
        case "POST", ["tasks", task_id, "stop"]:
            return ACCEPTED, backend.stop(task_id)
    raise InvalidRequest(
        f"{method} {path} is not relayed by the kernel", hint="use the handle in Python: sm.task(…)"
    )


def _logs(backend: Backend, task_id: str, query: dict[str, str]) -> list[LogEntry]:
    """The entries that match, as the server gives them."""
    if "limit" not in query:
        raise InvalidRequest(
            "a whole log is not relayed by the kernel",
            hint=f'use sm.task("{task_id}").logs().to_csv(…)',
        )
    limit = min(int(query["limit"]), MOST_ENTRIES)
    level = query.get("level")
    wanted = LogQuery(
        level=None if level is None else Level(level),
        unit=query.get("unit"),
        q=query.get("q"),
        after=int(query["after"]) if "after" in query else None,
        before=int(query["before"]) if "before" in query else None,
    )
    return entries_of(backend.logs(task_id, wanted, limit))
