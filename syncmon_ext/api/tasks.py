"""The tasks: list, make, read, change, remove."""

from __future__ import annotations

from typing import Final

import msgspec
from tornado import web

from syncmon_ext.api.base import SyncmonHandler, authorized
from syncmon_ext.api.operation import Operation, Route
from syncmon_ext.model.config import parse_spec
from syncmon_ext.model.errors import InvalidRequest
from syncmon_ext.model.task import TaskSpec
from syncmon_ext.model.view import TaskView

MOST_NAMED: Final = 10  # unknown fields in a message
_FIELDS: Final = frozenset(TaskSpec.__struct_fields__)


class NewTask(TaskSpec, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A task as it is made: its id and its configuration."""

    task_id: str


class ConfigurationError(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with syncmon.toml; the last good version stays in use."""

    code: str
    message: str
    hint: str


class Tasks(msgspec.Struct, frozen=True, kw_only=True):
    """All tasks, without their units."""

    tasks: list[TaskView]
    configuration_error: ConfigurationError | None = None


class TasksHandler(SyncmonHandler):
    """Serves ``tasks``."""

    @web.authenticated
    @authorized(action="read", resource="syncmon")
    async def get(self) -> None:
        """Reply with all tasks."""
        self.check_query()
        services = await self.services()
        views = await self.run(services.progress.views)
        error = await self.run(lambda: services.catalog.configuration_error)
        told = (
            None
            if error is None
            else ConfigurationError(code=error.code, message=error.message, hint=error.hint)
        )
        self.reply(Tasks(tasks=views, configuration_error=told))

    head = get

    @web.authenticated
    @authorized(action="write", resource="syncmon")
    async def post(self) -> None:
        """Make a task."""
        self.check_query()
        data = await self.object_body()
        task_id = data.pop("task_id", None)
        if not isinstance(task_id, str):
            wrong = ["is missing" if task_id is None else "expected string"]
            unknown = sorted(data.keys() - _FIELDS)
            wrong += [f"{name[:80]}: unknown field" for name in unknown[:MOST_NAMED]]
            raise InvalidRequest(
                f"task_id: {'; '.join(wrong)}",
                hint='add "task_id": a name of letters, digits, - and _',
            )
        spec = await self.understood(parse_spec, data, "")
        services = await self.services()
        await self.run(services.catalog.create, task_id, spec)
        services.sse.list_again()
        self.set_header("Location", f"{self.request.path.rstrip('/')}/{task_id}")
        self.reply(await self.run(services.progress.view, task_id), 201)


class TaskHandler(SyncmonHandler):
    """Serves ``tasks/:id``."""

    @web.authenticated
    @authorized(action="read", resource="syncmon")
    async def get(self, task_id: str) -> None:
        """Reply with the task."""
        self.check_query()
        services = await self.services()
        self.reply(await self.run(services.progress.view, self.task_id(task_id)))

    head = get

    @web.authenticated
    @authorized(action="write", resource="syncmon")
    async def put(self, task_id: str) -> None:
        """Give the task another configuration."""
        self.check_query()
        spec = await self.understood(parse_spec, await self.object_body(), "")
        services = await self.services()
        name = self.task_id(task_id)
        await self.run(services.catalog.change, name, spec)
        services.sse.list_again()
        self.reply(await self.run(services.progress.view, name))

    @web.authenticated
    @authorized(action="write", resource="syncmon")
    async def delete(self, task_id: str) -> None:
        """Remove the task with its runs, its log and its history."""
        self.check_query()
        services = await self.services()
        await self.run(services.catalog.delete, self.task_id(task_id))
        services.sse.list_again()
        self.set_status(204)
        self.finish()


ROUTES: Final = (
    Route(
        path="tasks",
        handler=TasksHandler,
        operations={
            "get": Operation(
                summary="All tasks, without their units", action="read", response=Tasks
            ),
            "post": Operation(
                summary="Make a task",
                action="write",
                request=NewTask,
                response=TaskView,
                status=201,
                errors=(409, 422),
            ),
        },
    ),
    Route(
        path="tasks/{task_id}",
        handler=TaskHandler,
        operations={
            "get": Operation(summary="The task and its progress", action="read", response=TaskView),
            "put": Operation(
                summary="Give a task of the store another configuration",
                action="write",
                request=TaskSpec,
                response=TaskView,
                errors=(409, 422),
            ),
            "delete": Operation(
                summary="Remove a task of the store, with its runs, its log and its history",
                action="write",
                status=204,
                errors=(409,),
            ),
        },
    ),
)
