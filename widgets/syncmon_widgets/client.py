"""The REST client: syncmon's API over HTTP, its errors as syncmon's own classes."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from syncmon_ext.model import errors
from syncmon_ext.model.errors import SyncmonError
from syncmon_ext.model.log import LogEntry
from syncmon_ext.model.loop import LoopOrders, LoopReport, NewLoop
from syncmon_ext.model.plan import Plan
from syncmon_ext.model.progress import Progress
from syncmon_ext.model.run import RunSummary
from syncmon_ext.model.state import State
from syncmon_ext.model.view import TaskView
from syncmon_widgets.address import LIKE
from syncmon_widgets.arrow import ARROW, table_of
from syncmon_widgets.backend import LogQuery
from syncmon_widgets.discovery import LOCKED, LOOPBACK, Server, locked_message
from syncmon_widgets.stream import EventStream, Refused

if TYPE_CHECKING:
    import httpx
    import pyarrow as pa

T = TypeVar("T")

ANSWER_SECONDS: Final = 30.0
PLAN_SECONDS: Final = 90.0  # a dry run asks two databases
PROBE_SECONDS: Final = 3.0
MOST_RUNS: Final = 1_000
MOST_LOGS: Final = 1_000  # that the server gives as JSON


class ServerError(SyncmonError):
    """An error of the server that has no class of its own here, or the lack of an answer."""

    def __init__(self, message: str, *, hint: str = "", code: str = "error", status: int = 0):
        super().__init__(message, hint=hint)
        self.code = code  # type: ignore[misc]  # of this instance: the server chose it
        self.status = status  # type: ignore[misc]  # likewise


class Client:
    """Talks to one server. Safe in many threads."""

    def __init__(self, server: Server, *, timeout: float = ANSWER_SECONDS) -> None:
        import httpx

        self.server: Final = server
        transport = httpx.HTTPTransport(uds=server.socket) if server.socket else None
        headers = {"Authorization": f"token {server.token}"} if server.token else {}
        self._http = httpx.Client(
            base_url=f"{server.url}api/v1/",
            headers={"Accept": "application/json", **headers},
            timeout=timeout,
            transport=transport,
            auth=None if server.token else server.login,  # both are one header
            # A proxy is never between a kernel and the server beside it.
            trust_env=urlsplit(server.url).hostname not in LOOPBACK,
        )

    @property
    def where(self) -> str:
        """What this client works on, for a person."""
        return self.server.url

    @property
    def base_url(self) -> str | None:
        """The path below which the page and its panels are."""
        return self.server.base_url

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def probe(self) -> None:
        """Raise what is wrong where the server does not answer, has no syncmon or lets nobody in."""
        response = self._request("GET", "openapi.json", timeout=PROBE_SECONDS)
        try:
            msgspec.json.decode(response.content, type=_Description)
        except (
            msgspec.DecodeError
        ) as error:  # a page, such as JupyterLab's for what it does not know
            raise ServerError(
                f"{self.server.url} is not where a Jupyter server with syncmon answers",
                hint=LIKE,
                code="no_syncmon",
                status=404,
            ) from error

    # -- tasks -----------------------------------------------------------------------------------

    def tasks(self) -> list[TaskView]:
        """All tasks, without their units."""
        return self._get("tasks", _Tasks).tasks

    def task(self, task_id: str) -> TaskView:
        """One task with all its units."""
        return self._get(_path(task_id), TaskView)

    def create_task(self, task_id: str, spec: dict[str, Any]) -> TaskView:
        """Make a task that the store keeps."""
        return self._send("POST", "tasks", TaskView, body={"task_id": task_id, **spec})

    def delete_task(self, task_id: str) -> None:
        """Remove a task with its runs, its log and its history."""
        self._request("DELETE", _path(task_id))

    def start(self, task_id: str, *, fresh: bool, only_failed: bool, key: str) -> Progress:
        """Start or resume; the same ``key`` again starts nothing."""
        return self._send(
            "POST",
            f"{_path(task_id)}/start",
            Progress,
            body={"fresh": fresh, "only_failed": only_failed},
            headers={"Idempotency-Key": key},
        )

    def pause(self, task_id: str) -> Progress:
        """Ask for a pause."""
        return self._send("POST", f"{_path(task_id)}/pause", Progress)

    def stop(self, task_id: str) -> Progress:
        """Ask for a stop."""
        return self._send("POST", f"{_path(task_id)}/stop", Progress)

    def set_throttle(self, task_id: str, *, rows: int | None, size: int | None) -> Progress:
        """Change the pace; None is no bound."""
        body = {"rows": rows, "bytes": size}
        return self._send("PATCH", f"{_path(task_id)}/throttle", Progress, body=body)

    # -- what is known of them -------------------------------------------------------------------

    def progress(self, task_id: str) -> Progress:
        """How far the task is."""
        return self._get(f"{_path(task_id)}/progress", Progress)

    def await_change(self, task_id: str, known: State, seconds: float) -> bool:
        """Wait until the task is in another state than ``known``, for so many seconds at most.

        False where the server's stream cannot be read: whoever waits has to ask again and again.
        """
        headers = {} if self.server.token else self._xsrf()
        stream = EventStream(self._http, f"{_path(task_id)}/stream", headers=headers)
        try:
            for event in stream.events(seconds):
                if event.name not in ("progress", "end"):
                    continue
                if msgspec.json.decode(event.data, type=_State).state is not known:
                    return True
        except (Refused, msgspec.DecodeError):
            return False
        return True

    def plan(self, task_id: str) -> Plan:
        """The dry run."""
        return self._get(f"{_path(task_id)}/plan", Plan, timeout=PLAN_SECONDS)

    def runs(self, task_id: str) -> list[RunSummary]:
        """The newest runs, newest first."""
        return self._get(f"{_path(task_id)}/runs", _Runs, limit=MOST_RUNS).runs

    def logs(self, task_id: str, query: LogQuery, limit: int | None) -> pa.Table:
        """The newest ``limit`` entries that match, oldest first, with ``after`` alone the oldest.

        None: all of them.
        """
        path = f"{_path(task_id)}/logs"
        if limit is not None and limit <= MOST_LOGS:
            found = self._get(path, _Logs, **query.parameters(), limit=limit).logs
            return table_of(LogEntry, [found])
        if limit is not None and query == LogQuery():  # positions have no gaps
            newest = self._get(path, _Logs, limit=1).logs
            last = newest[0].seq if newest else 0
            table = self._arrow(path, {"after": max(0, last - limit)})
        else:
            table = self._arrow(path, query.parameters())
        forward = query.after is not None and query.before is None
        return (
            table
            if limit is None
            else table.slice(0 if forward else max(0, len(table) - limit), limit)
        )

    def history(self, task_id: str, run_id: str | None) -> pa.Table:
        """The samples of one run, or of all."""
        return self._arrow(f"{_path(task_id)}/history", {"run": run_id} if run_id else {})

    # -- loops -----------------------------------------------------------------------------------

    def begin_loop(self, loop: NewLoop) -> LoopOrders:
        """Show a loop that begins."""
        return self._send("POST", "loops", LoopOrders, body=loop)

    def report_loop(self, task_id: str, report: LoopReport) -> LoopOrders:
        """Take a report in."""
        return self._send(
            "POST", f"loops/{quote(task_id, safe='')}/updates", LoopOrders, body=report
        )

    # -- one request -----------------------------------------------------------------------------

    def _get(self, path: str, kind: type[T], timeout: float | None = None, **query: Any) -> T:
        response = self._request("GET", path, params=query, timeout=timeout)
        return self._decoded(response, kind)

    def _send(
        self,
        method: str,
        path: str,
        kind: type[T],
        *,
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> T:
        content = b"" if body is None else msgspec.json.encode(body)
        sent = {"Content-Type": "application/json", **(headers or {})}
        return self._decoded(self._request(method, path, content=content, headers=sent), kind)

    def _decoded(self, response: httpx.Response, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(response.content, type=kind)
        except msgspec.DecodeError as error:
            raise ServerError(
                f"{response.url.copy_with(query=None)} answered something else than syncmon does",
                hint="is the server's syncmon as new as this one?",
                code="unexpected_answer",
                status=502,
            ) from error

    def _arrow(self, path: str, query: dict[str, Any]) -> pa.Table:
        import pyarrow as pa

        # The answer is read as it comes: a slow start of a long log is no silence.
        response = self._request("GET", path, params=query, headers={"Accept": ARROW})
        return pa.ipc.open_stream(response.content).read_all()

    def _request(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, Any] | None = None,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
        timeout: float | None = None,
    ) -> httpx.Response:
        import httpx

        headers = dict(headers or {})
        if not self.server.token:
            headers |= self._xsrf()
        try:
            response = self._http.request(
                method,
                path,
                params=params,
                content=content,
                headers=headers,
                timeout=self._http.timeout if timeout is None else timeout,
            )
        except httpx.HTTPError as error:
            raise ServerError(
                f"the Jupyter server at {self.server.url} does not answer ({_words(error)})",
                hint="tasks go on without it; is it running?",
                code="unreachable",
                status=503,
            ) from error
        if response.is_success:
            return response
        raise _error(response, self.server)

    def _xsrf(self) -> dict[str, str]:
        """What a server without a token wants of programs too: the cookie of any page, sent back."""
        if "_xsrf" not in self._http.cookies:
            import httpx

            with contextlib.suppress(httpx.HTTPError):
                self._http.get(f"{self.server.url}syncmon/")
        token = self._http.cookies.get("_xsrf")
        return {"X-XSRFToken": token} if token else {}


class _Description(msgspec.Struct, frozen=True, kw_only=True):
    openapi: str


class _State(msgspec.Struct, frozen=True, kw_only=True):
    state: State


class _Tasks(msgspec.Struct, frozen=True, kw_only=True):
    tasks: list[TaskView]


class _Runs(msgspec.Struct, frozen=True, kw_only=True):
    runs: list[RunSummary]


class _Logs(msgspec.Struct, frozen=True, kw_only=True):
    logs: list[LogEntry]


class _Detail(msgspec.Struct, frozen=True, kw_only=True):
    code: str
    message: str
    hint: str = ""


class _Refusal(msgspec.Struct, frozen=True, kw_only=True):
    error: _Detail


_CLASSES: Final = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, SyncmonError)
}


def _error(response: httpx.Response, server: Server) -> SyncmonError:
    try:
        said = msgspec.json.decode(response.content, type=_Refusal).error
    except msgspec.DecodeError:
        said = None
    status = response.status_code
    if status in (302, 401, 403) and not server.token:
        return ServerError(
            locked_message(server),
            hint='call connect(url, token) if it has a token, or connect(store="default") to work '
            "on the store without it",
            code=LOCKED,
            status=403,
        )
    if status in (302, 401, 403):
        return ServerError(
            f"the Jupyter server at {server.url} refused the request ({status})",
            hint="set SYNCMON_TOKEN to its token, or call connect(url, token)",
            code="forbidden",
            status=403,
        )
    if said is None and status == 404:
        return ServerError(
            f"the Jupyter server at {server.url} has no syncmon",
            hint="run `jupyter server extension enable syncmon_ext`, then restart it",
            code="no_syncmon",
            status=404,
        )
    if said is None:
        return ServerError(
            f"the Jupyter server at {server.url} answered {status} {response.reason_phrase}",
            hint="see its log",
            code="http_error",
            status=status,
        )
    kind = _CLASSES.get(said.code)
    if kind is not None:
        return kind(said.message, hint=said.hint)
    return ServerError(said.message, hint=said.hint, code=said.code, status=status)


def _path(task_id: str) -> str:
    return f"tasks/{quote(task_id, safe='')}"


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
