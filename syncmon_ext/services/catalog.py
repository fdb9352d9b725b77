"""The tasks and connections there are: those of the file, and those that the store keeps."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from syncmon_ext.model.config import Config, check_id, check_on_finish, check_spec
from syncmon_ext.model.connection import Connection
from syncmon_ext.model.decode import did_you_mean
from syncmon_ext.model.errors import (
    ConnectionNotFound,
    InvalidConfig,
    InvalidRequest,
    SyncmonError,
    TaskExists,
    TaskNotFound,
    TaskReadOnly,
    WrongState,
)
from syncmon_ext.model.state import ACTIVE, State
from syncmon_ext.model.task import Executor, Kind, Task, TaskSpec
from syncmon_ext.model.webhook import GIVEN, Webhook, check_address, is_address
from syncmon_ext.services.configuration import CONFIG_VARIABLE, Configuration
from syncmon_ext.store import tasks as rows
from syncmon_ext.store.store import Store


class Catalog:
    """Finds tasks and connections, and makes, changes and removes the tasks that the store keeps.

    A task that ran once stays known although its file is not in use here: as its newest run froze
    it.
    """

    def __init__(self, store: Store, configuration: Configuration) -> None:
        self._store = store
        self._configuration = configuration
        self._others: dict[str, Configuration] = {}  # files that tasks of the store are from

    def tasks(self) -> list[Task]:
        """All tasks: those of the file in its order, then those of the store by id."""
        config = self._configuration.current()
        with self._store.read() as connection:
            stored = {task.task_id: task for task in rows.stored_tasks(connection)}
            remembered = {task.task_id: task for task in rows.remembered_tasks(connection)}
        written = {task_id: task for task_id, task in config.tasks.items() if task_id not in stored}
        kept = remembered | stored
        return [*written.values(), *(kept[key] for key in sorted(kept) if key not in written)]

    def task(self, task_id: str) -> Task:
        """The task; raises TaskNotFound."""
        config = self._configuration.current()
        with self._store.read() as connection:
            if (stored := rows.stored_task(connection, task_id)) is not None:
                return stored
            if (written := config.tasks.get(task_id)) is not None:
                return written
            if remembered := rows.remembered_tasks(connection, task_id):
                return remembered[0]
        raise self._not_found(task_id)

    def create(self, task_id: str, spec: TaskSpec) -> Task:
        """Make a task that the store keeps; raises TaskExists and InvalidConfig."""
        config = self._configuration.current()
        check_id(task_id, "task_id")
        self._check_spec(spec, config)
        if (written := config.tasks.get(task_id)) is not None:
            raise _exists(task_id, written.origin)
        task = Task(task_id=task_id, spec=spec, name=spec.name or task_id)
        with self._store.write() as connection:
            if not rows.create_task(connection, task):
                origin = rows.row_origin(connection, task_id) or "store"
                forgotten = origin != "store" and self._is_forgotten(task_id, origin)
                if not forgotten or rows.run_in_the_way(connection, task_id) is not None:
                    raise _exists(task_id, origin)
                rows.adopt_task(connection, task)
        return task

    def change(self, task_id: str, spec: TaskSpec) -> Task:
        """Give a stored task another spec.

        Raises TaskNotFound, TaskReadOnly, InvalidConfig and WrongState while the task is active.
        """
        self._check_writable(self.task(task_id))
        config = self._configuration.current()
        self._check_spec(spec, config)
        name = spec.name or task_id
        with self._store.write() as connection:
            found = rows.lock_stored_task(connection, task_id)
            if found is None:
                raise self._not_found(task_id)
            if found.kind is Kind.LOOP:
                raise InvalidRequest(
                    f"{task_id} is a loop: it has no configuration to change",
                    hint="a loop is described by the code that runs it",
                )
            state = rows.run_in_the_way(connection, task_id)
            if state in ACTIVE:
                raise _in_the_way(task_id, state, "changed")
            rows.change_task(connection, task_id, spec, name)
        return Task(task_id=task_id, spec=spec, name=name)

    def delete(self, task_id: str) -> None:
        """Remove a task with its runs, its log and its history.

        Raises TaskNotFound, TaskReadOnly, and WrongState while a run is active or has left
        something in the target that only Stop takes away.
        """
        task = self.task(task_id)
        forgotten = task.read_only and self._is_forgotten(task_id, task.origin)
        if not forgotten:
            self._check_writable(task)
        with self._store.write() as connection:
            state = rows.run_in_the_way(connection, task_id)
            if state is not None:
                raise _in_the_way(task_id, state, "removed")
            rows.delete_task(connection, task_id)

    def connections(self) -> list[Connection]:
        """All connections, in the file's order."""
        return list(self._configuration.current().connections.values())

    def connection(self, name: str) -> Connection:
        """The connection; raises ConnectionNotFound."""
        known = self._configuration.current().connections
        if name in known:
            return known[name]
        path = self._configuration.path
        hint = did_you_mean(name, known) or (
            f"add [connections.{name}] with its url to {path}"
            if path is not None
            else f"no syncmon.toml is in use here: set ${CONFIG_VARIABLE} to the path of yours"
        )
        raise ConnectionNotFound(
            f"there is no connection {name!r}", hint=self._with_file_error(hint)
        )

    def webhook(self, given: str) -> Webhook:
        """The webhook of this name, or the one at this address; raises InvalidConfig."""
        if is_address(given):
            check_address(given, "on_finish")
            return Webhook(name=GIVEN, url=given)
        known = self._configuration.current().webhooks
        check_on_finish(given, known, "on_finish")
        return known[given]

    @property
    def configuration_error(self) -> SyncmonError | None:
        """What is wrong with the file, or with an id that stands in both places; None: nothing."""
        if (error := self._configuration.error) is not None:
            return error
        config = self._configuration.current()
        with self._store.read() as connection:
            twice = [t.task_id for t in rows.stored_tasks(connection) if t.task_id in config.tasks]
            shared = rows.other_origins(connection, str(self._configuration.path))
        if twice:
            written = config.tasks[twice[0]]
            return TaskExists(
                f"{written.origin}: tasks.{written.task_id}: a task with this id is in the store",
                hint="the store's task is in use; give the file's another id, or remove the store's",
            )
        for task_id in sorted(shared.keys() & config.tasks.keys()):
            if self._is_defined_in(task_id, shared[task_id]):
                return _two_files(config.tasks[task_id], shared[task_id])
        return None

    def check_own(self, task: Task) -> None:
        """Raise TaskExists where the runs in the store are those of another file's task of this id.

        A file that is gone, or defines it no more, was moved: its runs are the task's.
        """
        if not task.read_only:
            return
        with self._store.read() as connection:
            shared = rows.other_origins(connection, task.origin)
        if task.task_id in shared and self._is_defined_in(task.task_id, shared[task.task_id]):
            raise _two_files(task, shared[task.task_id])

    def _is_defined_in(self, task_id: str, origin: str) -> bool:
        """Whether another file defines the task as well."""
        in_use = self._configuration.path
        with suppress(OSError):
            if in_use is not None and in_use.samefile(origin):
                return False
        other = self._others.setdefault(origin, Configuration(origin))
        return task_id in other.current().tasks and Path(origin).exists()

    def _is_forgotten(self, task_id: str, origin: str) -> bool:
        """Whether the file that a row is from does not define the task any more."""
        config: Config = self._configuration.current()
        if task_id in config.tasks:
            return False
        in_use = self._configuration.path
        read_well = self._configuration.error is None
        return (in_use == Path(origin) and read_well) or not Path(origin).exists()

    @staticmethod
    def _check_spec(spec: TaskSpec, config: Config) -> None:
        """Raise InvalidConfig for what a task of the store cannot be."""
        check_spec(spec, config.connections, "")
        check_on_finish(spec.on_finish, config.webhooks, "on_finish")
        if spec.executor is not Executor.LOCAL:
            raise InvalidConfig(
                'executor: only a task in syncmon.toml can use "dask": its scheduler is an address, and '
                "what is sent there runs with the connections' secrets",
                hint='write the task in syncmon.toml, or use executor = "local"',
            )

    @staticmethod
    def _check_writable(task: Task) -> None:
        if task.read_only:
            raise TaskReadOnly(
                f"{task.task_id} is defined in {task.origin}",
                hint="edit the file; a change is seen at once",
            )

    def _not_found(self, task_id: str) -> TaskNotFound:
        hint = did_you_mean(task_id, [task.task_id for task in self.tasks()])
        if not hint:
            path = self._configuration.path or self._configuration.places()[0]
            hint = f"there are no tasks yet: write [tasks.{task_id}] in {path}"
            if self._configuration.path is None:
                hint += f", or set ${CONFIG_VARIABLE} to the path of your syncmon.toml"
        return TaskNotFound(f"there is no task {task_id!r}", hint=self._with_file_error(hint))

    def _with_file_error(self, hint: str) -> str:
        error = self._configuration.error
        return hint if error is None else f"{hint} ({error.message})"


def _exists(task_id: str, origin: str) -> TaskExists:
    where = "in the store" if origin == "store" else f"in {origin}"
    return TaskExists(
        f"a task {task_id!r} exists already, {where}", hint="choose another id, or change that one"
    )


def _two_files(task: Task, other: str) -> TaskExists:
    return TaskExists(
        f"{task.origin}: tasks.{task.task_id}: the runs of this id are those of the task in {other}",
        hint="give one of the two another id, or one of the files a store of its own "
        "($SYNCMON_STORE)",
    )


def _in_the_way(task_id: str, state: State, done: str) -> WrongState:
    if state in ACTIVE:
        return WrongState(
            f"{task_id} is {state} and cannot be {done}", hint="stop it first, or let it end"
        )
    return WrongState(
        f"{task_id} is {state} and its target holds what was copied so far: it cannot be {done}",
        hint="stop it first: that clears the target",
    )
