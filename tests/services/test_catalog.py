from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from msgspec.structs import replace

from syncmon_ext.model.errors import (
    ConnectionNotFound,
    InvalidConfig,
    InvalidRequest,
    TaskExists,
    TaskNotFound,
    TaskReadOnly,
    WrongState,
)
from syncmon_ext.model.state import ACTIVE, State
from syncmon_ext.model.task import Executor, Kind, Task, TaskSpec
from syncmon_ext.services.catalog import Catalog
from syncmon_ext.services.configuration import Configuration
from syncmon_ext.services.supervisor import Supervisor
from syncmon_ext.services.task_control import TaskControl
from syncmon_ext.store import runs, tasks
from syncmon_ext.store.store import Store

CONFIG = """
[connections.flights]
url = "sqlite:///flights.db"
[connections.warehouse]
url = "sqlite:///warehouse.db"

[tasks.nightly]
source = "flights"
target = "warehouse"
tables = ["airlines"]
name = "Nightly copy"
"""
SPEC = TaskSpec(source="flights", target="warehouse", tables=["planes"])


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    path = tmp_path / "syncmon.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def catalog(store: Store, config_file: Path) -> Catalog:
    return Catalog(store, Configuration(config_file))


def give_run(store: Store, task: Task, state: State, *, held: bool = False) -> str:
    """A run of ``task`` as TaskControl would have left it."""
    run_id = uuid.uuid4().hex
    with store.write() as connection:
        tasks.ensure_task(connection, task)
        runs.create_run(
            connection,
            run_id=run_id,
            task_id=task.task_id,
            spec=task.spec,
            source=None,
            target=None,
            total_tables=1,
        )
        tasks.set_newest_run(connection, task.task_id, run_id)
        runs.set_state(connection, run_id, state)
        runs.set_target_held(connection, run_id, held)
    return run_id


def ids(catalog: Catalog) -> list[str]:
    return [task.task_id for task in catalog.tasks()]


def test_tasks_of_the_file_come_first_then_those_of_the_store(catalog: Catalog) -> None:
    catalog.create("zebra", SPEC)
    catalog.create("archive", SPEC)
    assert ids(catalog) == ["nightly", "archive", "zebra"]
    assert catalog.task("nightly").name == "Nightly copy"
    assert catalog.task("zebra").spec == SPEC
    assert catalog.task("zebra").origin == "store"


def test_created_task_outlives_the_catalog(store: Store, config_file: Path) -> None:
    Catalog(store, Configuration(config_file)).create("archive", SPEC)
    assert Catalog(store, Configuration(config_file)).task("archive").spec == SPEC


def test_unknown_task_is_named_with_near_ones(catalog: Catalog) -> None:
    with pytest.raises(TaskNotFound) as caught:
        catalog.task("nigthly")
    assert "'nigthly'" in caught.value.message
    assert caught.value.hint == "did you mean nightly?"


def test_unknown_task_without_any_task_says_where_to_write_one(
    store: Store, tmp_path: Path
) -> None:
    (tmp_path / "empty.toml").write_text("")
    with pytest.raises(TaskNotFound) as caught:
        Catalog(store, Configuration(tmp_path / "empty.toml")).task("nightly")
    assert "[tasks.nightly]" in caught.value.hint
    assert "empty.toml" in caught.value.hint


def test_unknown_task_of_a_broken_file_says_that_it_is_broken(store: Store, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("x = = 1")
    with pytest.raises(TaskNotFound) as caught:
        Catalog(store, Configuration(tmp_path / "bad.toml")).task("nightly")
    assert "not valid TOML" in caught.value.hint


def test_id_that_exists_is_refused_wherever_it_is(catalog: Catalog, config_file: Path) -> None:
    with pytest.raises(TaskExists, match=r"syncmon\.toml"):
        catalog.create("nightly", SPEC)
    catalog.create("archive", SPEC)
    with pytest.raises(TaskExists, match="in the store"):
        catalog.create("archive", SPEC)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (TaskSpec(source="fligths", target="warehouse", tables=["a"]), "source: there is no"),
        (TaskSpec(source="flights", target="nowhere", tables=["a"]), "target: there is no"),
        (TaskSpec(source="flights", target="warehouse", tables=[]), "no table"),
    ],
)
def test_spec_that_cannot_work_is_refused(catalog: Catalog, spec: TaskSpec, message: str) -> None:
    with pytest.raises(InvalidConfig, match=message):
        catalog.create("archive", spec)
    catalog.create("archive", SPEC)
    with pytest.raises(InvalidConfig, match=message):
        catalog.change("archive", spec)
    assert catalog.task("archive").spec == SPEC


def test_task_of_the_store_cannot_name_a_scheduler(catalog: Catalog, config_file: Path) -> None:
    text = config_file.read_text()
    for name in ("shop", "lake"):
        text += f'[connections.{name}]\nurl = "postgresql://etl@{name}/db"\n'
    config_file.write_text(text)
    ends = TaskSpec(source="shop", target="lake", tables=["a"])
    dask = replace(ends, executor=Executor.DASK, scheduler="tcp://elsewhere.example.org:8786")
    with pytest.raises(InvalidConfig, match=r"only a task in syncmon\.toml can use") as caught:
        catalog.create("archive", dask)
    assert 'executor = "local"' in caught.value.hint
    catalog.create("archive", ends)
    with pytest.raises(InvalidConfig, match="executor: only a task in"):
        catalog.change("archive", dask)
    assert catalog.task("archive").spec == ends


def test_bad_id_is_refused(catalog: Catalog) -> None:
    with pytest.raises(InvalidConfig, match=r"^task_id: .* cannot be an id"):
        catalog.create("../etc", SPEC)


def test_task_of_a_file_is_read_only_and_names_the_file(
    catalog: Catalog, config_file: Path
) -> None:
    for attempt in (lambda: catalog.change("nightly", SPEC), lambda: catalog.delete("nightly")):
        with pytest.raises(TaskReadOnly) as caught:
            attempt()
        assert str(config_file) in caught.value.message


def test_stored_task_changes_and_goes(catalog: Catalog) -> None:
    catalog.create("archive", SPEC)
    other = TaskSpec(source="warehouse", target="flights", tables=["a"], name="Other way")
    assert catalog.change("archive", other) == catalog.task("archive")
    assert catalog.task("archive").name == "Other way"
    catalog.delete("archive")
    assert ids(catalog) == ["nightly"]
    for attempt in (lambda: catalog.change("archive", SPEC), lambda: catalog.delete("archive")):
        with pytest.raises(TaskNotFound):
            attempt()


@pytest.mark.parametrize("state", [s for s in State if s is not State.IDLE])
def test_active_task_is_neither_changed_nor_removed(
    catalog: Catalog, store: Store, state: State
) -> None:
    task = catalog.create("archive", SPEC)
    give_run(store, task, state)
    if state in ACTIVE:
        with pytest.raises(WrongState, match=f"archive is {state} and cannot be changed"):
            catalog.change("archive", SPEC)
        with pytest.raises(WrongState, match=f"archive is {state} and cannot be removed"):
            catalog.delete("archive")
        assert ids(catalog) == ["nightly", "archive"]
    else:
        catalog.change("archive", SPEC)
        catalog.delete("archive")
        assert ids(catalog) == ["nightly"]


@pytest.mark.parametrize("state", [State.PAUSED, State.FAILED])
def test_task_with_something_left_in_the_target_is_not_removed(
    catalog: Catalog, store: Store, state: State
) -> None:
    task = catalog.create("archive", SPEC)
    run_id = give_run(store, task, state, held=True)
    with pytest.raises(WrongState) as caught:
        catalog.delete("archive")
    assert f"archive is {state} and its target holds" in caught.value.message
    assert "stop it first" in caught.value.hint
    with store.write() as connection:
        runs.set_target_held(connection, run_id, held=False)
    catalog.delete("archive")


def test_removed_task_takes_its_runs_and_its_log_along(catalog: Catalog, store: Store) -> None:
    task = catalog.create("archive", SPEC)
    run_id = give_run(store, task, State.COMPLETED)
    catalog.delete("archive")
    with store.read() as connection:
        assert runs.run_by_id(connection, run_id) is None
        assert tasks.position(connection, "archive") is None


def test_loop_has_no_configuration_to_change(catalog: Catalog, store: Store) -> None:
    with store.write() as connection:
        tasks.create_task(connection, Task(task_id="cleaning", kind=Kind.LOOP, name="cleaning"))
    with pytest.raises(InvalidRequest, match="cleaning is a loop"):
        catalog.change("cleaning", SPEC)


def test_connections_are_those_of_the_file(catalog: Catalog, config_file: Path) -> None:
    assert [c.name for c in catalog.connections()] == ["flights", "warehouse"]
    assert catalog.connection("flights").url == f"sqlite:///{config_file.parent}/flights.db"
    with pytest.raises(ConnectionNotFound) as caught:
        catalog.connection("flihgts")
    assert caught.value.hint == "did you mean flights?"


def test_id_in_both_places_is_an_error_and_the_stored_task_stays(
    catalog: Catalog, config_file: Path
) -> None:
    catalog.create("archive", SPEC)
    assert catalog.configuration_error is None
    config_file.write_text(CONFIG + CONFIG[CONFIG.index("[tasks") :].replace("nightly", "archive"))
    error = catalog.configuration_error
    assert isinstance(error, TaskExists)
    assert str(config_file) in error.message
    assert "tasks.archive" in error.message
    assert catalog.task("archive").origin == "store"
    assert ids(catalog) == ["nightly", "archive"]
    catalog.delete("archive")
    assert catalog.configuration_error is None
    assert catalog.task("archive").origin == str(config_file)


def test_start_where_no_file_is_in_use_says_how_to_name_one(
    catalog: Catalog, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a program that works on the store, beside the folder of a file whose task has run."""
    give_run(store, catalog.task("nightly"), State.COMPLETED)
    monkeypatch.delenv("SYNCMON_CONFIG", raising=False)
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "empty"))
    nowhere = Catalog(store, Configuration())
    with pytest.raises(ConnectionNotFound) as caught:
        TaskControl(store, nowhere, Supervisor(store)).start("nightly")
    assert caught.value.hint == (
        "no syncmon.toml is in use here: set $SYNCMON_CONFIG to the path of yours"
    )


def test_two_files_with_one_id_are_told_and_the_second_does_not_go_on_with_the_runs_of_the_first(
    catalog: Catalog, store: Store, config_file: Path, tmp_path: Path
) -> None:
    give_run(store, catalog.task("nightly"), State.PAUSED)
    other_file = tmp_path / "copied" / "syncmon.toml"
    other_file.parent.mkdir()
    other_file.write_text(CONFIG.replace("warehouse.db", "elsewhere.db"))
    other = Catalog(store, Configuration(other_file))
    error = other.configuration_error
    assert isinstance(error, TaskExists)
    assert str(config_file) in error.message and str(other_file) in error.message
    with pytest.raises(TaskExists, match=r"tasks\.nightly: the runs of this id") as caught:
        TaskControl(store, other, Supervisor(store)).start("nightly")
    assert "$SYNCMON_STORE" in caught.value.hint
    assert catalog.configuration_error is None
    catalog.check_own(catalog.task("nightly"))


def test_file_that_was_moved_keeps_its_runs(
    catalog: Catalog, store: Store, config_file: Path, tmp_path: Path
) -> None:
    give_run(store, catalog.task("nightly"), State.PAUSED)
    link = tmp_path / "link.toml"
    link.symlink_to(config_file)
    moved = tmp_path / "moved.toml"
    for path, move in ((link, False), (moved, True)):
        if move:
            config_file.rename(moved)
        elsewhere = Catalog(store, Configuration(path))
        assert elsewhere.configuration_error is None
        elsewhere.check_own(elsewhere.task("nightly"))
    config_file.write_text(CONFIG.replace("nightly", "hourly"))
    elsewhere.check_own(elsewhere.task("nightly"))


def test_broken_file_is_told_and_its_last_good_tasks_stay(
    catalog: Catalog, config_file: Path
) -> None:
    assert ids(catalog) == ["nightly"]
    config_file.write_text("x = = 1")
    assert ids(catalog) == ["nightly"]
    assert isinstance(catalog.configuration_error, InvalidConfig)


def test_task_that_ran_stays_known_where_its_file_is_not_in_use(
    catalog: Catalog, store: Store, tmp_path: Path
) -> None:
    give_run(store, catalog.task("nightly"), State.RUNNING)
    (tmp_path / "other.toml").write_text(CONFIG[: CONFIG.index("[tasks")])
    elsewhere = Catalog(store, Configuration(tmp_path / "other.toml"))
    assert ids(elsewhere) == ["nightly"]
    assert elsewhere.task("nightly") == catalog.task("nightly")
    with pytest.raises(TaskReadOnly):
        elsewhere.delete("nightly")
    with pytest.raises(TaskExists):
        elsewhere.create("nightly", SPEC)


def test_task_that_its_file_no_longer_defines_can_be_removed(
    catalog: Catalog, store: Store, config_file: Path
) -> None:
    give_run(store, catalog.task("nightly"), State.COMPLETED)
    config_file.write_text(CONFIG[: CONFIG.index("[tasks")])
    assert ids(catalog) == ["nightly"]
    catalog.delete("nightly")
    assert ids(catalog) == []


def test_id_that_its_file_no_longer_defines_can_be_taken_by_the_store(
    catalog: Catalog, store: Store, config_file: Path
) -> None:
    give_run(store, catalog.task("nightly"), State.COMPLETED)
    config_file.write_text(CONFIG[: CONFIG.index("[tasks")])
    assert catalog.create("nightly", SPEC) == catalog.task("nightly")
    assert catalog.task("nightly").origin == "store"


def test_id_of_a_run_that_is_active_is_not_taken(
    catalog: Catalog, store: Store, config_file: Path
) -> None:
    give_run(store, catalog.task("nightly"), State.RUNNING)
    config_file.write_text(CONFIG[: CONFIG.index("[tasks")])
    with pytest.raises(TaskExists):
        catalog.create("nightly", SPEC)
