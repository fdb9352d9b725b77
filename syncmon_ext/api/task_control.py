"""Start, pause, stop and the pace of a task."""

from __future__ import annotations

from typing import Final

import msgspec
from tornado import web

from syncmon_ext.api.base import SyncmonHandler, authorized
from syncmon_ext.api.operation import Operation, Parameter, Route
from syncmon_ext.model.errors import InvalidRequest
from syncmon_ext.model.progress import Progress
from syncmon_ext.model.task import ThrottleChange

LONGEST_KEY: Final = 255


class Start(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to start: go on from the checkpoints, begin a fresh run, or copy the failed tables again."""

    fresh: bool = False
    only_failed: bool = False


class Nothing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An empty object."""


class StartHandler(SyncmonHandler):
    """Serves ``tasks/:id/start``."""

    @web.authenticated
    @authorized(action="execute", resource="syncmon")
    async def post(self, task_id: str) -> None:
        """Start or resume the task."""
        self.check_query()
        how = await self.body(Start, default=Start())
        key = self._idempotency_key()
        name = self.task_id(task_id)
        services = await self.services()
        progress = await self.run(
            services.control.start,
            name,
            fresh=how.fresh,
            only_failed=how.only_failed,
            idempotency_key=key,
        )
        self.reply(progress, 202)

    def _idempotency_key(self) -> str | None:
        key = self.request.headers.get("Idempotency-Key")
        if key is None:
            return None
        if not 0 < len(key) <= LONGEST_KEY or not (key.isascii() and key.isprintable()):
            raise InvalidRequest(
                "the header Idempotency-Key cannot be used",
                hint=f"send 1 to {LONGEST_KEY} printable ASCII characters, such as a UUID",
            )
        return key


class PauseHandler(SyncmonHandler):
    """Serves ``tasks/:id/pause``."""

    @web.authenticated
    @authorized(action="execute", resource="syncmon")
    async def post(self, task_id: str) -> None:
        """Ask the task to pause."""
        self.check_query()
        await self.body(Nothing, default=Nothing())
        services = await self.services()
        self.reply(await self.run(services.control.pause, self.task_id(task_id)), 202)


class StopHandler(SyncmonHandler):
    """Serves ``tasks/:id/stop``."""

    @web.authenticated
    @authorized(action="execute", resource="syncmon")
    async def post(self, task_id: str) -> None:
        """Ask the task to stop."""
        self.check_query()
        await self.body(Nothing, default=Nothing())
        services = await self.services()
        self.reply(await self.run(services.control.stop, self.task_id(task_id)), 202)


class ThrottleHandler(SyncmonHandler):
    """Serves ``tasks/:id/throttle``."""

    @web.authenticated
    @authorized(action="execute", resource="syncmon")
    async def patch(self, task_id: str) -> None:
        """Change the pace of the running task."""
        self.check_query()
        change = await self.body(ThrottleChange)
        services = await self.services()
        change_throttle = services.control.change_throttle
        self.reply(await self.run(change_throttle, self.task_id(task_id), change))


def _command(path: str, handler: type[SyncmonHandler], summary: str) -> Route:
    return Route(
        path=path,
        handler=handler,
        operations={
            "post": Operation(
                summary=summary,
                action="execute",
                request=Nothing,
                body_required=False,
                response=Progress,
                status=202,
                errors=(409,),
            )
        },
    )


ROUTES: Final = (
    Route(
        path="tasks/{task_id}/start",
        handler=StartHandler,
        operations={
            "post": Operation(
                summary="Start the task, or go on from its checkpoints",
                action="execute",
                request=Start,
                body_required=False,
                response=Progress,
                status=202,
                parameters=(
                    Parameter(
                        name="Idempotency-Key",
                        description="The same key again is the same start",
                        schema={"type": "string", "minLength": 1, "maxLength": LONGEST_KEY},
                        where="header",
                    ),
                ),
                errors=(409, 422),
            )
        },
    ),
    _command("tasks/{task_id}/pause", PauseHandler, "Pause the task; its checkpoints stay"),
    _command("tasks/{task_id}/stop", StopHandler, "Stop the task and clear what is not finished"),
    Route(
        path="tasks/{task_id}/throttle",
        handler=ThrottleHandler,
        operations={
            "patch": Operation(
                summary="Change the pace of the run; null lifts a bound, one that is absent stays",
                action="execute",
                request=ThrottleChange,
                response=Progress,
                errors=(409,),
            )
        },
    ),
)
