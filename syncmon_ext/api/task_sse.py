"""The streams: one task, many tasks, one log."""

from __future__ import annotations

from typing import Any, Final

from jupyter_core.utils import ensure_async
from tornado import iostream, web
from tornado.httputil import HTTPHeaders
from tornado.util import ObjectDict

from syncmon_ext.api.base import SOCKETS, SyncmonHandler, authorized
from syncmon_ext.api.operation import Operation, Parameter, Route
from syncmon_ext.api.sse_sockets import Sockets
from syncmon_ext.model.errors import InvalidRequest
from syncmon_ext.services import sse_event
from syncmon_ext.services.services import Services
from syncmon_ext.services.sse_channel import Scope
from syncmon_ext.services.sse_event import Frame
from syncmon_ext.services.sse_position import LONGEST

MOST_TASKS: Final = 900  # named in one stream; Tornado reads 1,000 parameters of a query
HELLO: Final = Frame(sse_event.retry())
_SPENT: Final = ("_parts", "_write_buffer", "_transforms", "path_args", "path_kwargs")
_NOTHING: Final[dict[str, Any]] = {}  # of all requests; nobody writes into it


class _StreamHandler(SyncmonHandler):
    _track_activity = False  # a page that is left open must not keep a server alive

    async def stream(self, services: Services, scope: Scope) -> None:
        """Send events until the stream is over or the client is gone."""
        last_event_id = self.request.headers.get("Last-Event-ID") or None
        if last_event_id is not None and len(last_event_id) > LONGEST:
            last_event_id = "-"  # junk
        self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        self.set_header("Cache-Control", "no-cache")
        self.set_header("X-Accel-Buffering", "no")
        self.set_header("Content-Encoding", "identity")  # nothing may hold events back
        if self.request.method == "HEAD":
            await self.finish()
            return
        self.set_header("Connection", "close")  # after the stream nothing else comes over it
        subscription = await services.sse.subscribe(scope, last_event_id)
        served = False
        try:
            if subscription.over:
                self.clear_header("Content-Type")
                self.clear_header("Content-Encoding")
                self.set_status(204)
                await self.finish()
                return
            self.write(HELLO.data)
            await self.flush()
            self.application.log_request(self)
            sockets: Sockets = self.settings[SOCKETS]
            sink = sockets.take(self, self.detach())
            self._forget_the_start()
            services.sse.start(subscription, sink)
            served = True
        except iostream.StreamClosedError:
            pass  # the client is gone already
        finally:
            if not served:
                services.sse.leave(subscription)

    def _forget_the_start(self) -> None:
        """Drop what was needed to begin: a client that stays for minutes should cost little."""
        self.request.connection = self.request.server_connection = None  # over, for Tornado
        for spent in _SPENT:
            self.__dict__.pop(spent, None)
        self._forget_the_answer()
        request = self.request
        request.body_arguments = request.files = _NOTHING
        request.query_arguments = request.arguments = request.arguments or _NOTHING

    def _forget_the_answer(self) -> None:
        """Drop what only an answer needs, or the question who this is."""
        for spent in ("_headers", "ui", "_new_cookie"):
            self.__dict__.pop(spent, None)
        self.request.__dict__.pop("_cookies", None)

    @property
    def is_chunked(self) -> bool:
        """Whether the body goes in chunks, as in HTTP/1.1."""
        return self._headers.get("Transfer-Encoding") == "chunked"

    @property
    def username(self) -> str:
        """Who Jupyter says it is."""
        return str(getattr(self.current_user, "username", ""))

    async def is_still_allowed(self) -> bool:
        """Ask Jupyter again who this is, and whether they may read; True while it cannot tell."""
        known = self.current_user
        self._headers, self.ui = HTTPHeaders(), ObjectDict()  # an identity provider may write there
        for cached in ("_jupyter_current_user", "_cached_hub_user"):
            self.__dict__.pop(cached, None)
        try:
            user = await ensure_async(self.identity_provider.get_user(self))
            return user is not None and await ensure_async(
                self.authorizer.is_authorized(self, user, "read", "syncmon")
            )
        except Exception as error:
            self.log.warning("syncmon: cannot ask whether a stream may go on: %s", error)
            return True
        finally:
            self.current_user = self._jupyter_current_user = known
            self._forget_the_answer()


class TaskStreamHandler(_StreamHandler):
    """Serves ``tasks/:id/stream``."""

    @web.authenticated
    @authorized(action="read", resource="syncmon")
    async def get(self, task_id: str) -> None:
        """Send the events of one task until its run has ended."""
        self.check_query()
        services = await self.services()
        name = self.task_id(task_id)
        await self.run(services.catalog.task, name)
        await self.stream(services, Scope(tasks=frozenset({name}), single=True))

    head = get


class StreamHandler(_StreamHandler):
    """Serves ``stream``."""

    @web.authenticated
    @authorized(action="read", resource="syncmon")
    async def get(self) -> None:
        """Send the events of many tasks."""
        self.check_query("logs", repeated="task")
        named = self.text_queries("task")
        logs = self.text_query("logs") or None  # empty: no task is named
        if len(named) > MOST_TASKS:
            raise InvalidRequest(f"{len(named):,} tasks are named", hint=f"at most {MOST_TASKS:,}")
        services = await self.services()
        known = {task.task_id for task in await self.run(services.catalog.tasks)}
        # A page that shows many tasks goes on when one of them is gone, or not there yet.
        if named and known.isdisjoint(named):
            await self.run(services.catalog.task, self.task_id(named[0]))
        if logs is not None and logs not in known:
            await self.run(services.catalog.task, self.task_id(logs))
        tasks = frozenset(self.task_id(name) for name in named) if named else None
        await self.stream(services, Scope(tasks=tasks, logs=logs))

    head = get


_LAST_EVENT_ID: Final = Parameter(
    name="Last-Event-ID",
    description="Where the client stopped: the stream goes on from there, without gap or repeat",
    schema={"type": "string"},
    where="header",
)
EVENT_STREAM: Final = "text/event-stream"
ROUTES: Final = (
    Route(
        path="tasks/{task_id}/stream",
        handler=TaskStreamHandler,
        operations={
            "get": Operation(
                summary="The events of one task until its run has ended: progress, log, end, reset",
                action="read",
                media=(EVENT_STREAM,),
                only_media=True,
                parameters=(_LAST_EVENT_ID,),
                errors=(204,),
            )
        },
    ),
    Route(
        path="stream",
        handler=StreamHandler,
        operations={
            "get": Operation(
                summary="The events of many tasks: progress, log, tasks, reset",
                action="read",
                media=(EVENT_STREAM,),
                only_media=True,
                parameters=(
                    Parameter(
                        name="task",
                        description="A task, as often as there are tasks; without it: all",
                        schema={
                            "type": "array",
                            "items": {"type": "string"},
                            "maxItems": MOST_TASKS,
                        },
                    ),
                    Parameter(
                        name="logs",
                        description="Log entries of this task alone",
                        schema={"type": "string"},
                    ),
                    _LAST_EVENT_ID,
                ),
                errors=(404,),
            )
        },
    ),
)
