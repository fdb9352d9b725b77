"""Python loops: they report themselves, and the answer says what a person wants of them."""

from __future__ import annotations

from typing import Final

from tornado import web

from syncmon_ext.api.base import SyncmonHandler, authorized
from syncmon_ext.api.operation import Operation, Route
from syncmon_ext.model.loop import LoopOrders, LoopReport, NewLoop


class LoopsHandler(SyncmonHandler):
    """Serves ``loops``."""

    @web.authenticated
    @authorized(action="execute", resource="syncmon")
    async def post(self) -> None:
        """Begin a loop."""
        self.check_query()
        loop = await self.body(NewLoop)
        services = await self.services()
        orders = await self.run(services.loops.begin, loop)
        services.sse.list_again()
        self.reply(orders, 201)


class LoopUpdatesHandler(SyncmonHandler):
    """Serves ``loops/:id/updates``."""

    @web.authenticated
    @authorized(action="execute", resource="syncmon")
    async def post(self, task_id: str) -> None:
        """Take a report in."""
        self.check_query()
        report = await self.body(LoopReport)
        name = self.task_id(task_id)
        services = await self.services()
        self.reply(await self.run(services.loops.report, name, report))


ROUTES: Final = (
    Route(
        path="loops",
        handler=LoopsHandler,
        operations={
            "post": Operation(
                summary="Show a Python loop that begins as a task",
                action="execute",
                request=NewLoop,
                response=LoopOrders,
                status=201,
            )
        },
    ),
    Route(
        path="loops/{task_id}/updates",
        handler=LoopUpdatesHandler,
        operations={
            "post": Operation(
                summary="Report how far the loop is; the answer carries pause and stop",
                action="execute",
                request=LoopReport,
                response=LoopOrders,
                errors=(409,),
            )
        },
    ),
)
