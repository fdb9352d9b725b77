"""The text of a ``syncmon.toml`` becomes connections and tasks, or an error naming the place."""

from __future__ import annotations

import os.path
import re
from collections.abc import Collection, Mapping
from datetime import date, datetime, time
from typing import Any, Final
from urllib.parse import unquote

import msgspec
import tomli

from syncmon_ext.model.connection import Connection, SecretReference
from syncmon_ext.model.decode import decode, did_you_mean, join, shown
from syncmon_ext.model.errors import InvalidConfig
from syncmon_ext.model.task import (
    FILTER_OPERATORS,
    NULL_OPERATORS,
    TASK_ID,
    Executor,
    Mode,
    TableSpec,
    Task,
    TaskSpec,
    Verify,
)
from syncmon_ext.model.webhook import Webhook, check_address

_LEAST: Final = -(2**63)  # of a whole number, in every database
_LARGEST: Final = 2**63 - 1
SECTIONS: Final = ("connections", "webhooks", "tasks")
REFERENCE_HINT: Final = (
    'write password = { env = "…" } below the url (or { file = "…" }, { keyring = "service/user" })'
)
# libpq reads these from a URL's query.
SECRET_PARAMETERS: Final = ("password", "sslpassword", "oauth_client_secret")

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9_+]*://")
# As SQLAlchemy reads it: the password may hold anything but an @.
_USER_PASSWORD = re.compile(r"[^:/@?]*:(?P<password>[^@]+)@")
_PARAMETER = re.compile(r"[?&](?P<name>[^=&]+)=")
_SCHEDULER = re.compile(r"(?:tcp|tls)://(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}")


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """What a file defines, by name and by id, in the order written."""

    connections: dict[str, Connection] = {}
    webhooks: dict[str, Webhook] = {}
    tasks: dict[str, Task] = {}


class _ConnectionTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    url: str
    password: SecretReference | None = None


class _WebhookTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    url: str | SecretReference
    token: SecretReference | None = None


def parse_config(text: str, *, folder: str, origin: str) -> Config:
    """The configuration in ``text``, a TOML document that stands in ``folder`` (absolute).

    Relative paths are relative to ``folder`` and come out absolute. Raises InvalidConfig: its
    message begins with ``origin`` and the place, and never repeats a password.
    """
    try:
        return _parsed(text, folder, origin)
    except InvalidConfig as error:
        raise InvalidConfig(f"{origin}: {error.message}", hint=error.hint) from None


def _parsed(text: str, folder: str, origin: str) -> Config:
    try:
        document = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise InvalidConfig(
            f"not valid TOML: {error}", hint="correct the line; strings stand in quotes"
        ) from None
    for section, content in document.items():
        if section not in SECTIONS:
            raise InvalidConfig(
                f"{section}: unknown section",
                hint=did_you_mean(section, SECTIONS),
            )
        if not isinstance(content, dict):
            raise InvalidConfig(
                f"{section}: expected tables like [{section}.NAME], got {type(content).__name__}"
            )
    connections = {
        name: _connection(name, table, folder, origin)
        for name, table in document.get("connections", {}).items()
    }
    webhooks = {
        name: _webhook(name, table, folder) for name, table in document.get("webhooks", {}).items()
    }
    tasks = {
        task_id: _task(task_id, table, connections, webhooks, origin)
        for task_id, table in document.get("tasks", {}).items()
    }
    return Config(connections=connections, webhooks=webhooks, tasks=tasks)


def _connection(name: str, table: object, folder: str, origin: str) -> Connection:
    path = f"connections.{name}"
    check_id(name, path)
    # A password in the wrong place must not come back in the message.
    try:
        written = decode(table, _ConnectionTable, path, show_values=False)
    except InvalidConfig as error:
        if error.message.startswith(f"{path}.password"):
            raise InvalidConfig(error.message, hint=REFERENCE_HINT) from None
        raise
    check_url(written.url, f"{path}.url")
    return Connection(
        name=name,
        url=_absolute_url(written.url, folder),
        password=_placed(written.password, folder),
        origin=origin,
    )


def _webhook(name: str, table: object, folder: str) -> Webhook:
    path = f"webhooks.{name}"
    check_id(name, path)
    written = decode(table, _WebhookTable, path, show_values=False)
    url = written.url
    if isinstance(url, str):
        check_address(url, f"{path}.url")
    else:
        url = _placed(url, folder) or url
    return Webhook(name=name, url=url, token=_placed(written.token, folder))


def _placed(reference: SecretReference | None, folder: str) -> SecretReference | None:
    """The reference, its file's path absolute."""
    if reference is None or reference.file is None:
        return reference
    return SecretReference(file=_absolute(reference.file, folder))


def _task(
    task_id: str,
    table: object,
    connections: Mapping[str, Connection],
    webhooks: Mapping[str, Webhook],
    origin: str,
) -> Task:
    path = f"tasks.{task_id}"
    check_id(task_id, path)
    spec = parse_spec(table, path)
    check_spec(spec, connections, path)
    check_on_finish(spec.on_finish, webhooks, join(path, "on_finish"))
    return Task(task_id=task_id, spec=spec, name=spec.name or task_id, origin=origin)


def check_id(name: str, path: str) -> None:
    """Raise InvalidConfig unless ``name`` may name a task or a connection."""
    if TASK_ID.fullmatch(name) is None:
        raise InvalidConfig(
            f"{path}: {shown(name)} cannot be an id",
            hint="use up to 64 letters, digits, - and _, with a letter or a digit first",
        )


def check_url(url: str, path: str) -> None:
    """Raise InvalidConfig for what is no URL, and for one that holds a password."""
    scheme = _SCHEME.match(url)
    if scheme is None:
        raise InvalidConfig(
            f"{path}: is no database URL",
            hint='write it like "sqlite:///file.db" or "postgresql://user@host:5432/database"',
        )
    rest = url[scheme.end() :]
    parameters = {unquote(match["name"]).lower() for match in _PARAMETER.finditer(rest)}
    if _USER_PASSWORD.match(rest) or parameters.intersection(SECRET_PARAMETERS):
        raise InvalidConfig(f"{path}: holds a password", hint=REFERENCE_HINT)


def parse_spec(data: object, path: str) -> TaskSpec:
    """A task as a person wrote it, in TOML or JSON; dates in filters become ISO 8601 text."""
    spec = decode(data, TaskSpec, path)
    tables: list[str | TableSpec] = [
        table
        if isinstance(table, str)
        else msgspec.structs.replace(table, where=_plain(table.where))
        for table in spec.tables
    ]
    return msgspec.structs.replace(spec, tables=tables)


def check_spec(spec: TaskSpec, connections: Mapping[str, Connection], path: str) -> None:
    """Raise InvalidConfig for what the types alone cannot tell."""
    for field in ("source", "target"):
        name = getattr(spec, field)
        if name not in connections:
            raise InvalidConfig(
                f"{join(path, field)}: there is no connection {shown(name)}",
                hint=did_you_mean(name, connections)
                or f"add [connections.{name}] with its url to syncmon.toml",
            )
    check_executor(spec, (connections[spec.source], connections[spec.target]), path)
    tables = join(path, "tables")
    if not spec.tables:
        raise InvalidConfig(f"{tables}: no table is named", hint='write tables = ["…"]')
    if spec.direct and spec.mode is not Mode.APPEND:
        raise InvalidConfig(
            f'{join(path, "direct")}: needs mode = "append"',
            hint="remove direct, or change the mode",
        )
    if spec.direct and spec.verify is Verify.HASH:
        raise InvalidConfig(
            f'{join(path, "verify")}: "hash" compares the staged rows, and direct = true stages none',
            hint='remove direct, or use verify = "count"',
        )
    if spec.lag_seconds and spec.mode is not Mode.INCREMENTAL:
        raise InvalidConfig(
            f'{join(path, "lag_seconds")}: needs mode = "incremental"',
            hint="remove lag_seconds, or change the mode",
        )
    units: dict[str, int] = {}
    targets: dict[tuple[str | None, str], int] = {}
    for index, table in enumerate(spec.table_specs()):
        place = f"{tables}[{index}]"
        _check_table(table, place)
        _check_cursor(spec, table, place)
        target = (table.target_schema, table.target or table.name)
        for seen, what, mark in (
            (units.setdefault(table.unit_id, index), "the table", table.unit_id),
            (targets.setdefault(target, index), "the target table", target[1]),
        ):
            if seen != index:
                raise InvalidConfig(
                    f"{place}: {what} {shown(mark)} is named in tables[{seen}] already",
                    hint="name each table, and each target table, once",
                )
        if spec.source == spec.target and target == (table.schema, table.name):
            raise InvalidConfig(
                f"{place}: table {shown(table.unit_id)} would be copied onto itself",
                hint='give it another target = "…", or use two connections',
            )
    if any(not column.strip() for column in spec.allow_lossy):
        raise InvalidConfig(f"{join(path, 'allow_lossy')}: names a column without a name")


def check_executor(spec: TaskSpec, ends: Collection[Connection], path: str) -> None:
    """Raise InvalidConfig where the task's chunks cannot be copied where it says."""
    place, scheduler = join(path, "scheduler"), spec.scheduler
    if spec.executor is not Executor.DASK:
        if scheduler is not None:
            raise InvalidConfig(
                f'{place}: needs executor = "dask"', hint="remove scheduler, or set the executor"
            )
        return
    example = 'write scheduler = "tcp://host:8786", as the scheduler says when it starts'
    if scheduler is None:
        raise InvalidConfig(
            f'{place}: executor = "dask" needs the address of a scheduler', hint=example
        )
    if _SCHEDULER.fullmatch(scheduler) is None:
        raise InvalidConfig(
            f"{place}: {_address(scheduler)} is not the address of a scheduler",
            hint=example,
        )
    for end in ends:
        if end.url.startswith("sqlite"):
            raise InvalidConfig(
                f'{join(path, "executor")}: "dask" needs PostgreSQL on both sides, and connection '
                f"{end.name} is a SQLite file, which only processes of one machine can share",
                hint='use executor = "local"',
            )


def _address(text: str) -> str:
    """``text`` for a message, but for what may hold a password."""
    return "what holds an @" if "@" in text else shown(text)


def check_on_finish(name: str | None, webhooks: Collection[str], path: str) -> None:
    """Raise InvalidConfig unless a webhook has this name."""
    if name is not None and name not in webhooks:
        raise InvalidConfig(
            f"{path}: there is no webhook {shown(name)}",
            hint=did_you_mean(name, webhooks)
            or "add [webhooks.NAME] with its url to syncmon.toml, and name it here",
        )


def _check_table(table: TableSpec, path: str) -> None:
    for field in ("name", "schema", "cursor", "target", "target_schema"):
        value = getattr(table, field)
        if value is not None and (not value.strip() or "\0" in value):
            raise InvalidConfig(f"{join(path, field)}: {shown(value)} names nothing")
    for field in ("columns", "key"):
        columns: list[str] | None = getattr(table, field)
        if columns is None:
            continue
        if not columns:
            raise InvalidConfig(
                f"{join(path, field)}: no column is named",
                hint=f"leave {field} out, and the source's own schema decides",
            )
        nameless = next((name for name in columns if not name.strip() or "\0" in name), None)
        if nameless is not None:
            raise InvalidConfig(f"{join(path, field)}: {shown(nameless)} names nothing")
        twice = next((name for name in columns if columns.count(name) > 1), None)
        if twice is not None:
            raise InvalidConfig(f"{join(path, field)}: names column {shown(twice)} twice")
    for column, condition in table.where.items():
        if "\0" in column:
            raise InvalidConfig(f"{join(path, 'where')}: {shown(column)} names nothing")
        _check_condition(condition, f"{join(path, 'where')}.{column}")


def _check_cursor(spec: TaskSpec, table: TableSpec, path: str) -> None:
    incremental = spec.mode is Mode.INCREMENTAL
    if incremental and table.cursor is None:
        raise InvalidConfig(
            f'{path}: mode = "incremental" needs a cursor',
            hint=f'write {{ name = {shown(table.name)}, cursor = "updated_at" }}, or use mode = "merge"',
        )
    if not incremental and table.cursor is not None:
        raise InvalidConfig(
            f'{join(path, "cursor")}: needs mode = "incremental"',
            hint="remove cursor, or change the mode",
        )


def _check_condition(condition: object, path: str) -> None:
    if isinstance(condition, dict):
        if not condition:
            raise InvalidConfig(f"{path}: holds no condition")
        for operator, value in condition.items():
            if operator not in FILTER_OPERATORS:
                raise InvalidConfig(
                    f"{path}: unknown operator {shown(operator)}",
                    hint=f"use one of {' '.join(FILTER_OPERATORS)}",
                )
            if isinstance(value, dict | list):
                raise InvalidConfig(f"{path}: expected one value after {operator}")
            if value is None and operator not in NULL_OPERATORS:
                raise InvalidConfig(
                    f"{path}: no value is {operator} null",
                    hint="write null for the rows without a value, or != null for those with one",
                )
            _check_value(value, path)
    elif isinstance(condition, list):
        if not condition:
            raise InvalidConfig(f"{path}: the list is empty, so no row would match")
        if any(isinstance(value, dict | list) for value in condition):
            raise InvalidConfig(f"{path}: expected a list of plain values")
        for value in condition:
            _check_value(value, path)
    else:
        _check_value(condition, path)


def _check_value(value: object, path: str) -> None:
    """As the API refuses it, whose bodies hold no such values at all."""
    if isinstance(value, str) and "\0" in value:
        raise InvalidConfig(
            f"{path}: {shown(value)} holds a NUL character, which no text of PostgreSQL has",
            hint="leave it out",
        )
    if isinstance(value, int) and not _LEAST <= value <= _LARGEST:
        raise InvalidConfig(
            f"{path}: {shown(value)} is a whole number of more than 64 bits",
            hint="write it as a text, which the column's own type reads",
        )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime | date | time) else value


def _absolute(path: str, folder: str) -> str:
    # ~ is the worker's home, which only the worker knows.
    return path if path.startswith("~") else os.path.normpath(os.path.join(folder, path))  # noqa: PTH118 - text only


def _absolute_url(url: str, folder: str) -> str:
    """A SQLite URL whose path is absolute; any other URL as it is."""
    match = re.fullmatch(r"(?P<scheme>sqlite(?:\+\w+)?:///)(?P<path>[^?]+)(?P<query>\?.*)?", url)
    if match is None or match["path"] == ":memory:" or match["path"].startswith("file:"):
        return url
    return f"{match['scheme']}{_absolute(match['path'], folder)}{match['query'] or ''}"
