"""The base of all handlers: errors become answers here, and nowhere else."""

from __future__ import annotations

import asyncio
import http.client
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any, Final, NoReturn, ParamSpec, TypeVar, cast

import msgspec
from jupyter_server.auth.decorator import authorized as _authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web
from tornado.concurrent import Future

from syncmon_ext.api.json_text import parse_json
from syncmon_ext.model.decode import decode
from syncmon_ext.model.errors import InvalidConfig, InvalidRequest, SyncmonError, TaskNotFound
from syncmon_ext.model.task import TASK_ID
from syncmon_ext.services.services import LazyServices, Services

P = ParamSpec("P")
T = TypeVar("T")
Method = TypeVar("Method", bound=Callable[..., Any])

BODY_BYTES: Final = 1_048_576
SMALL_BYTES: Final = 16_384  # a body up to here is understood in a millisecond or two
SERVICES: Final = "syncmon_services"  # the keys of the server's settings
POOL: Final = "syncmon_pool"
SLOW_POOL: Final = "syncmon_slow_pool"
SEARCH_POOL: Final = "syncmon_search_pool"
SOCKETS: Final = "syncmon_sockets"
_NUMBER: Final = re.compile(r"-?[0-9]+")
# Jupyter's own parameters, which may stand in any query.
JUPYTER_PARAMETERS: Final = frozenset({"token", "_xsrf", "no_track_activity"})


class BodyTooLarge(SyncmonError):
    """A body of more than 1 MiB."""

    code = "body_too_large"
    status = 413


class UnsupportedMediaType(SyncmonError):
    """A body that is not JSON."""

    code = "unsupported_media_type"
    status = 415


class ClientGone(SyncmonError):
    """Nobody waits for the answer any more."""

    code = "client_gone"
    status = 499


class NotAcceptable(SyncmonError):
    """The answer exists in none of the accepted media types."""

    code = "not_acceptable"
    status = 406


class ErrorDetail(msgspec.Struct, frozen=True, kw_only=True):
    """What went wrong, and what to do."""

    code: str
    message: str
    hint: str


class ErrorReply(msgspec.Struct, frozen=True, kw_only=True):
    """The body of every answer that is an error."""

    error: ErrorDetail


def authorized(action: str, resource: str) -> Callable[[Method], Method]:
    """Jupyter's decorator, typed."""
    return cast("Callable[[Method], Method]", _authorized(action=action, resource=resource))


@web.stream_request_body
class SyncmonHandler(APIHandler):
    """Parses requests and replies; a handler on top of it is parse → service → reply."""

    def initialize(self, **_: Any) -> None:
        """Nothing is received yet."""
        self._parts: list[bytes] = []
        self._received = 0
        self._admitted = False
        self._gone = False

    # -- the request ---------------------------------------------------------------------------

    async def prepare(self) -> None:  # type: ignore[override]  # as Jupyter does itself
        """Let Jupyter check who asks, before the body is received."""
        await super().prepare()
        self._admitted = True

    def on_connection_close(self) -> None:
        """Note that the client has left."""
        super().on_connection_close()
        self._gone = True

    def data_received(self, chunk: bytes) -> None:
        """Keep a piece of the body, unless it has grown too large: then read on, and forget it."""
        self._received += len(chunk)
        if self._received > BODY_BYTES:
            self._parts.clear()
        else:
            self._parts.append(chunk)

    def _refuse_size(self) -> NoReturn:
        raise BodyTooLarge(
            f"the body is larger than {BODY_BYTES:,} bytes", hint="send fewer tables in one task"
        )

    def raw_body(self) -> bytes:
        """The body as it was sent, without spaces around it; raises BodyTooLarge."""
        if self._received > BODY_BYTES:
            self._refuse_size()
        return b"".join(self._parts).strip()

    async def json_body(self) -> Any:
        """The body as plain data; None where it is empty. Raises InvalidRequest."""
        raw = self.raw_body()
        if not raw:
            return None
        media = self.request.headers.get("Content-Type", "").split(";")[0].strip().lower()
        if media != "application/json":
            raise UnsupportedMediaType(
                f"the body is {media or 'of no type'}", hint="send Content-Type: application/json"
            )
        return await self.understood(parse_json, raw)

    async def understood(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Work on the body: in the pool where it is large, and would hold the event loop."""
        if self._received <= SMALL_BYTES:
            return function(*args, **kwargs)
        return await self.run(function, *args, **kwargs)

    async def body(self, kind: type[T], default: T | None = None) -> T:
        """The body as a ``kind``; an empty one is ``default`` where there is one."""
        if default is not None and not self.raw_body():
            return default
        data = await self.json_body()
        try:
            return await self.understood(decode, data, kind, "")
        except InvalidConfig as error:
            raise InvalidRequest(error.message, hint=error.hint) from None

    async def object_body(self) -> dict[str, Any]:
        """The body as a JSON object; raises InvalidRequest for anything else."""
        data = await self.json_body()
        if not isinstance(data, dict):
            raise InvalidRequest(
                "the body is no JSON object", hint='send {"source": …, "target": …, "tables": […]}'
            )
        return data

    def check_query(self, *names: str, repeated: str | None = None) -> None:
        """Refuse parameters that are unknown or given twice."""
        for name, values in self.request.query_arguments.items():
            if name in JUPYTER_PARAMETERS or name.isdigit():  # JupyterLab adds a time to each query
                continue
            if name not in names and name != repeated:
                known = ", ".join([*names, *([repeated] if repeated else [])])
                raise InvalidRequest(
                    f"unknown parameter {name[:80]!r}",
                    hint=f"known: {known}" if known else "this call takes no parameters",
                )
            if len(values) > 1 and name != repeated:
                raise InvalidRequest(f"{name} is given {len(values)} times", hint="give it once")

    def text_query(self, name: str, longest: int = 1_000) -> str | None:
        """A text parameter."""
        values = self.text_queries(name, longest)
        return values[0] if values else None

    def text_queries(self, name: str, longest: int = 1_000) -> list[str]:
        """A text parameter that may be given many times."""
        found = []
        for raw in self.request.query_arguments.get(name, []):
            try:
                text = raw.decode("utf-8")
            except UnicodeDecodeError:
                raise InvalidRequest(f"{name} is not UTF-8") from None
            if "\0" in text or len(text) > longest:
                raise InvalidRequest(f"{name} holds a NUL or is longer than {longest:,} characters")
            found.append(text)
        return found

    def number_query(
        self, name: str, low: int, high: int, default: int | None = None
    ) -> int | None:
        """A whole number within bounds."""
        text = self.text_query(name, longest=40)
        if text is None:
            return default
        number = int(text) if _NUMBER.fullmatch(text) else None
        if number is None or not low <= number <= high:
            raise InvalidRequest(
                f"{name} is {text[:40]!r}", hint=f"give a whole number from {low} to {high}"
            )
        return number

    @staticmethod
    def task_id(text: str) -> str:
        """The id of a path, if it can be one; raises TaskNotFound."""
        if TASK_ID.fullmatch(text) is None:
            shown = text if len(text) <= 80 else f"{text[:80]}…"
            raise TaskNotFound(
                f"there is no task {shown!r}",
                hint="ids are up to 64 letters, digits, - and _, with a letter or a digit first",
            )
        return text

    # -- the work ------------------------------------------------------------------------------

    async def services(self) -> Services:
        """The services, opened if need be; raises StoreUnavailable."""
        lazy = cast("LazyServices", self.settings[SERVICES])
        opened = lazy.opened
        return await self.run(lazy.get) if opened is None else opened

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do blocking work in the pool: the event loop belongs to Jupyter."""
        return await self._in_pool(POOL, partial(function, *args, **kwargs))

    async def run_slowly(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do what may take a minute, where it does not keep other calls waiting."""
        return await self._in_pool(SLOW_POOL, partial(function, *args, **kwargs))

    def is_gone(self) -> bool:
        """Whether the client has left."""
        return self._gone

    async def search(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do what may go through a whole log: few at a time, and for nobody who has left.

        Raises ClientGone.
        """

        def unless_gone() -> T:
            if self.is_gone():
                raise ClientGone("the client has left")
            return function(*args, **kwargs)

        return await self._in_pool(SEARCH_POOL, unless_gone)

    async def _in_pool(self, name: str, function: Callable[[], T]) -> T:
        pool = cast("ThreadPoolExecutor", self.settings[name])
        return await asyncio.get_running_loop().run_in_executor(pool, function)

    # -- the answer ----------------------------------------------------------------------------

    def reply(self, answer: object, status: int = 200) -> None:
        """Answer with a struct as JSON, or with bytes that are JSON already."""
        self.set_status(status)
        self.set_header("Cache-Control", "no-store")
        self.finish(answer if isinstance(answer, bytes) else msgspec.json.encode(answer))

    def compute_etag(self) -> str | None:
        """None: no answer is stored, and a hash of megabytes would hold the event loop."""
        return None

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Errors of ours know their status."""
        error = kwargs.get("exc_info", (None, None))[1]
        super().send_error(
            error.status if isinstance(error, SyncmonError) else status_code, **kwargs
        )

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """The one error body; never a traceback."""
        error = kwargs.get("exc_info", (None, None))[1]
        if isinstance(error, SyncmonError):
            detail = ErrorDetail(code=error.code, message=error.message, hint=error.hint)
        else:
            detail = _detail(status_code, error)
        if status_code == 405:
            self.set_header("Allow", ", ".join(self.allowed_methods()))
        if not self._admitted:
            # Tornado closes a connection of which the body was not read; the client should know.
            self.set_header("Connection", "close")
        self.set_header("Cache-Control", "no-store")
        self.finish(msgspec.json.encode(ErrorReply(error=detail)))

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Refusals are the caller's to read; only defects of ours are logged with a traceback."""
        if isinstance(value, SyncmonError):
            self.log.debug("%s %s: %s", self.request.method, self.request.path, value.message)
        else:
            super().log_exception(typ, value, tb)

    @classmethod
    def allowed_methods(cls) -> list[str]:
        """The methods that the handler has."""
        names = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
        base = web.RequestHandler
        own = [n for n in names if getattr(cls, n.lower()) is not getattr(base, n.lower())]
        return [*own, "OPTIONS"]

    def options(self, *args: Any, **kwargs: Any) -> None:
        """Say which methods there are, to a browser's preflight request too."""
        super().options(*args, **kwargs)
        methods = ", ".join(self.allowed_methods())
        self.set_header("Allow", methods)
        self.set_header("Access-Control-Allow-Methods", methods)
        self.set_header(
            "Access-Control-Allow-Headers",
            "accept, authorization, content-type, idempotency-key, last-event-id, x-xsrftoken",
        )
        self.set_status(204)
        self.finish()

    def finish(self, *args: Any, **kwargs: Any) -> Future[None]:
        """An answer is JSON unless its type is set before."""
        media = self._headers.get("Content-Type", "")
        if media and not media.startswith("text/html"):  # Tornado's default
            kwargs.setdefault("set_content_type", media)
        return cast("Future[None]", super().finish(*args, **kwargs))


class NotFoundHandler(SyncmonHandler):
    """Answers for every path below ``api/v1/`` that is no route."""

    async def prepare(self) -> None:  # type: ignore[override]  # as Jupyter does itself
        """Say that there is nothing here, to those who may know."""
        await super().prepare()
        self._admitted = False
        raise web.HTTPError(404 if self.current_user else 403)


_HINTS: Final = {
    403: "sign in to Jupyter, or send its token in the header Authorization",
    404: "see openapi.json for the calls there are",
    405: "see the header Allow",
}


def _detail(status: int, error: BaseException | None) -> ErrorDetail:
    phrase = http.client.responses.get(status, "error")
    code = phrase.lower().replace(" ", "_").replace("-", "_")
    message = phrase
    if isinstance(error, web.HTTPError) and error.log_message and status < 500:
        message = error.get_message() or phrase
    if status >= 500:
        return ErrorDetail(
            code=code, message="the server failed to answer", hint="see the log of Jupyter's server"
        )
    return ErrorDetail(code=code, message=message, hint=_HINTS.get(status, ""))
