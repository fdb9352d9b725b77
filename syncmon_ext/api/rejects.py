"""Bad rows of a task: listed, and tried again."""

from __future__ import annotations

from typing import Any, Final, cast

from tornado import web

from syncmon_ext.api.base import SyncmonHandler, authorized
from syncmon_ext.api.operation import Operation, Parameter, Route
from syncmon_ext.model.reject import Rejects, Replayed

MOST: Final = 1_000
DEFAULT: Final = 50


class RejectsHandler(SyncmonHandler):
    """Serves ``tasks/:id/rejects``."""

    @web.authenticated
    @authorized(action="read", resource="syncmon")
    async def get(self, task_id: str) -> None:
        """Reply with the newest rejects; with the rows' values for who has the right to write."""
        self.check_query("limit")
        limit = cast("int", self.number_query("limit", 1, MOST, DEFAULT))
        name = self.task_id(task_id)
        with_values = await self._may_write()
        services = await self.services()
        self.reply(
            await self.run_slowly(services.rejects.listed, name, limit, with_values=with_values)
        )

    head = get

    async def _may_write(self) -> bool:
        answer: Any = self.authorizer.is_authorized(self, self.current_user, "write", "syncmon")
        return bool(await answer if hasattr(answer, "__await__") else answer)


class ReplayHandler(SyncmonHandler):
    """Serves ``tasks/:id/rejects/replay``."""

    @web.authenticated
    @authorized(action="execute", resource="syncmon")
    async def post(self, task_id: str) -> None:
        """Try the rejects again and reply with what became of them."""
        self.check_query()
        name = self.task_id(task_id)
        services = await self.services()
        self.reply(await self.run_slowly(services.rejects.replay, name))


ROUTES: Final = (
    Route(
        path="tasks/{task_id}/rejects",
        handler=RejectsHandler,
        operations={
            "get": Operation(
                summary="Rows that could not be copied, the newest first; values need the right to write",
                action="read",
                response=Rejects,
                parameters=(
                    Parameter(
                        name="limit",
                        description="How many at most",
                        schema={
                            "type": "integer",
                            "minimum": 1,
                            "maximum": MOST,
                            "default": DEFAULT,
                        },
                    ),
                ),
                errors=(409, 422, 504),
            )
        },
    ),
    Route(
        path="tasks/{task_id}/rejects/replay",
        handler=ReplayHandler,
        operations={
            "post": Operation(
                summary="Read the rejected rows from the source again and put them into the target",
                action="execute",
                response=Replayed,
                errors=(409, 422, 504),
            )
        },
    ),
)
