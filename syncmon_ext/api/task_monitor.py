"""What a person sees of a task: progress, log, runs, history and plan."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
from tornado import iostream, web

from syncmon_ext.api.base import NotAcceptable, SyncmonHandler, authorized
from syncmon_ext.api.operation import Operation, Parameter, Route
from syncmon_ext.model.errors import InvalidConfig, InvalidRequest
from syncmon_ext.model.log import Level, LogEntry
from syncmon_ext.model.plan import Plan
from syncmon_ext.model.progress import Progress
from syncmon_ext.model.run import RunSummary
from syncmon_ext.model.sample import HistorySample
from syncmon_ext.services import probe
from syncmon_ext.services.export import Format, export, export_columns
from syncmon_ext.services.task_log import LogFilter

LARGEST_SEQ: Final = 2**63 - 1
MOST_LOGS: Final = 1_000
MOST_RUNS: Final = 1_000
MOST_SAMPLES: Final = 100_000
JSON: Final = "application/json"


class Logs(msgspec.Struct, frozen=True, kw_only=True):
    """Log entries, oldest first."""

    logs: list[LogEntry]


class Runs(msgspec.Struct, frozen=True, kw_only=True):
    """Runs of a task, newest first."""

    runs: list[RunSummary]


class History(msgspec.Struct, frozen=True, kw_only=True):
    """Progress samples, oldest first."""

    samples: list[HistorySample]


class ExportHandler(SyncmonHandler):
    """A handler whose answer exists as a file too, whole and streamed."""

    def wanted_format(self) -> Format | None:
        """The format that the request accepts; None is JSON."""
        accepted = self.request.headers.get("Accept", "")
        known: dict[str, Format | None] = dict.fromkeys((JSON, "application/*", "*/*", ""))
        known |= {str(target): target for target in Format}
        for media in _by_preference(accepted):
            if media in known:
                return known[media]
        raise NotAcceptable(
            f"nothing is known of {accepted[:80]!r}",
            hint=f"accept {JSON} or {', '.join(Format)}",
        )

    async def stream(
        self, name: str, target: Format, pieces: Iterator[bytes], *, searched: bool = False
    ) -> None:
        """Send the file piece by piece, as fast as the client reads."""
        run = self.search if searched else self.run
        self.set_header("Content-Type", f"{target.value}{_PARAMETERS[target]}")
        self.set_header("Content-Disposition", f'attachment; filename="{name}.{target.suffix}"')
        self.set_header("Cache-Control", "no-store")
        self.set_header("Vary", "Accept")
        if self.request.method == "HEAD":
            await self.finish()
            return
        while (piece := await run(next, pieces, None)) is not None:
            self.write(piece)
            try:
                await self.flush()
            except iostream.StreamClosedError:
                return
        await self.finish()


_PARAMETERS: Final = {
    Format.CSV: "; charset=utf-8; header=present",
    Format.ARROW: "",
    Format.NDJSON: "",
}


def _by_preference(accepted: str) -> list[str]:
    """The media types of an Accept header, the preferred ones first."""
    found = []
    for part in accepted.split(","):
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    weight = float(parameter[2:])
                except ValueError:
                    weight = 0.0
        if weight > 0:
            found.append((weight, media))
    return [media for _, media in sorted(found, key=lambda pair: -pair[0])]


class ProgressHandler(SyncmonHandler):
    """Serves ``tasks/:id/progress``."""

    @web.authenticated
    @authorized(action="read", resource="syncmon")
    async def get(self, task_id: str) -> None:
        """Reply with the progress object."""
        self.check_query()
        services = await self.services()
        self.reply(await self.run(services.progress.progress_json, self.task_id(task_id)))

    head = get


class LogsHandler(ExportHandler):
    """Serves ``tasks/:id/logs``."""

    @web.authenticated
    @authorized(action="read", resource="syncmon")
    async def get(self, task_id: str) -> None:
        """Reply with the newest entries, or with all of them as a file."""
        self.check_query("limit", "level", "unit", "q", "after", "before")
        limit = self.number_query("limit", 1, MOST_LOGS)
        wanted = LogFilter(
            level=self._level(),
            unit=self.text_query("unit"),
            contains=self.text_query("q"),
            after=self.number_query("after", 0, LARGEST_SEQ),
            before=self.number_query("before", 1, LARGEST_SEQ),
        )
        target = self.wanted_format()
        services = await self.services()
        name = self.task_id(task_id)
        if target is None:
            run = self.search if wanted.goes_through_all else self.run
            entries = await run(services.log.entries, name, wanted, limit or 50, self.is_gone)
            self.set_header("Vary", "Accept")
            self.reply(Logs(logs=entries))
            return
        if limit is not None:
            raise InvalidRequest("a file holds all entries", hint="leave out limit")
        if target is Format.ARROW:
            columns = await self.run(services.log.columns, name, wanted)
            pieces = export_columns(columns, LogEntry)
        else:
            batches = await self.run(services.log.batches, name, wanted)
            pieces = export(batches, LogEntry, target)
        searched = wanted.goes_through_all
        await self.stream(f"{name}-log", target, pieces, searched=searched)

    head = get

    def _level(self) -> Level | None:
        text = self.text_query("level", longest=80)
        if text is None:
            return None
        try:
            return Level(text)
        except ValueError:
            raise InvalidRequest(
                f"level is {text!r}", hint=f"give one of {', '.join(Level)}"
            ) from None


class RunsHandler(SyncmonHandler):
    """Serves ``tasks/:id/runs``."""

    @web.authenticated
    @authorized(action="read", resource="syncmon")
    async def get(self, task_id: str) -> None:
        """Reply with the newest runs."""
        self.check_query("limit")
        limit = self.number_query("limit", 1, MOST_RUNS) or 50
        services = await self.services()
        found = await self.run(services.progress.runs, self.task_id(task_id), limit)
        self.reply(Runs(runs=found))

    head = get


class HistoryHandler(ExportHandler):
    """Serves ``tasks/:id/history``."""

    @web.authenticated
    @authorized(action="read", resource="syncmon")
    async def get(self, task_id: str) -> None:
        """Reply with the samples of one run or of all, or with them as a file."""
        self.check_query("run", "limit")
        run_id = self.text_query("run", longest=80)
        limit = self.number_query("limit", 1, MOST_SAMPLES)
        target = self.wanted_format()
        services = await self.services()
        name = self.task_id(task_id)
        if target is None:
            history = services.progress.history
            found = await self.run(history, name, run_id, limit or 10_000)
            self.set_header("Vary", "Accept")
            self.reply(History(samples=found))
            return
        if limit is not None:
            raise InvalidRequest("a file holds all samples", hint="leave out limit")
        batches = await self.run(services.progress.history_batches, name, run_id)
        await self.stream(f"{name}-history", target, export(batches, HistorySample, target))

    head = get


class PlanHandler(SyncmonHandler):
    """Serves ``tasks/:id/plan``."""

    @web.authenticated
    @authorized(action="read", resource="syncmon")
    async def get(self, task_id: str) -> None:
        """Reply with the dry run."""
        self.check_query()
        services = await self.services()
        task = await self.run(services.catalog.task, self.task_id(task_id))
        if task.spec is None:
            raise InvalidConfig(f"{task.task_id} is a loop: it copies nothing")
        source = await self.run(services.catalog.connection, task.spec.source)
        target = await self.run(services.catalog.connection, task.spec.target)
        self.reply(
            await self.run_slowly(
                probe.plan, task.task_id, task.spec, source, target, services.settings.plan_timeout
            )
        )

    head = get


def _number(name: str, low: int, high: int, description: str) -> Parameter:
    schema = {"type": "integer", "minimum": low, "maximum": high}
    return Parameter(name=name, description=description, schema=schema)


def _text(name: str, description: str) -> Parameter:
    return Parameter(
        name=name, description=description, schema={"type": "string", "maxLength": 1_000}
    )


_FILES: Final = tuple(str(target) for target in Format)
ROUTES: Final = (
    Route(
        path="tasks/{task_id}/progress",
        handler=ProgressHandler,
        operations={
            "get": Operation(
                summary="How far the task is, with all its units", action="read", response=Progress
            )
        },
    ),
    Route(
        path="tasks/{task_id}/logs",
        handler=LogsHandler,
        operations={
            "get": Operation(
                summary="The newest log entries, oldest first; as a file: all of them",
                action="read",
                response=Logs,
                media=_FILES,
                parameters=(
                    _number(
                        "limit", 1, MOST_LOGS, "How many entries; 50 by default. Not for a file."
                    ),
                    Parameter(
                        name="level",
                        description="Only entries of this level",
                        schema={"type": "string", "enum": [str(level) for level in Level]},
                    ),
                    _text("unit", "Only entries about this unit"),
                    _text("q", "Only entries whose message holds this, in any case"),
                    _number(
                        "after", 0, LARGEST_SEQ, "Entries behind this position, the oldest first"
                    ),
                    _number("before", 1, LARGEST_SEQ, "Entries before this position"),
                ),
                errors=(406,),
            )
        },
    ),
    Route(
        path="tasks/{task_id}/runs",
        handler=RunsHandler,
        operations={
            "get": Operation(
                summary="The newest runs of the task, newest first",
                action="read",
                response=Runs,
                parameters=(_number("limit", 1, MOST_RUNS, "How many runs; 50 by default"),),
            )
        },
    ),
    Route(
        path="tasks/{task_id}/history",
        handler=HistoryHandler,
        operations={
            "get": Operation(
                summary="The progress samples of one run or of all, oldest first",
                action="read",
                response=History,
                media=_FILES,
                parameters=(
                    Parameter(
                        name="run",
                        description="Only the samples of this run",
                        schema={"type": "string", "maxLength": 80},
                    ),
                    _number(
                        "limit",
                        1,
                        MOST_SAMPLES,
                        "How many of the newest samples; 10,000 by default. Not for a file.",
                    ),
                ),
                errors=(406,),
            )
        },
    ),
    Route(
        path="tasks/{task_id}/plan",
        handler=PlanHandler,
        operations={
            "get": Operation(
                summary="The dry run: how each table would be copied",
                action="read",
                response=Plan,
                errors=(422, 504),
            )
        },
    ),
)
