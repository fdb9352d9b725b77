from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text, update

from syncmon_ext.model.errors import InvalidConfig, StoreUnavailable
from syncmon_ext.store import store as store_module
from syncmon_ext.store.schema import tasks
from syncmon_ext.store.store import Store
from tests.databases import postgres_database
from tests.store.make import make_task


@pytest.mark.parametrize("url", ["", "no url", "mysql://u@h/d", "sqlite://", "sqlite:///"])
def test_url_that_names_no_store_is_refused(url: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        Store(url)
    assert caught.value.hint


@pytest.mark.parametrize("url", ["postgresql:hunter2@h/d", "mysql://u:hunter2@h/d"])
def test_refused_url_is_not_repeated(url: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        Store(url)
    assert "hunter2" not in f"{caught.value.message}{caught.value.hint}"


def test_parameters_of_a_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig) as caught:
        Store(f"sqlite:///{tmp_path}/store.db?mode=ro")
    assert "mode" in caught.value.message
    assert not list(tmp_path.iterdir())


def test_database_that_is_down_is_told_without_its_password() -> None:
    with pytest.raises(StoreUnavailable) as caught:
        Store("postgresql://etl:hunter2@127.0.0.1:1/store")
    assert "127.0.0.1:1" in caught.value.message
    assert "hunter2" not in f"{caught.value.message}{caught.value.hint}"
    assert "SYNCMON_STORE" in caught.value.hint


def test_secrets_in_the_parameters_of_its_url_are_not_told() -> None:
    with pytest.raises(StoreUnavailable) as caught:
        Store("postgresql://etl@127.0.0.1:1/store?password=hunter2&sslpassword=hunter2")
    assert "127.0.0.1:1" in caught.value.message
    assert "hunter2" not in f"{caught.value.message}{caught.value.hint}"


def test_path_that_is_relative_is_settled_where_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "given").mkdir()
    monkeypatch.chdir(tmp_path / "given")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    relative, at_home = Store("sqlite:///store.db"), Store("sqlite:///~/store.db")
    monkeypatch.chdir(tmp_path)
    assert relative.url.database == str(tmp_path / "given/store.db")
    assert (tmp_path / "home/store.db").exists()
    with relative.write() as connection:
        assert connection.scalar(text("SELECT count(*) FROM store_identity")) == 1
    relative.close()
    at_home.close()


def test_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_text("these are not the pages you are looking for" * 100)
    with pytest.raises(StoreUnavailable) as caught:
        Store(f"sqlite:///{path}")
    assert str(path) in caught.value.message
    assert "move it away" in caught.value.hint


def test_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable) as caught:
        Store(f"sqlite:///{tmp_path}/file/store.db")
    assert "cannot be written" in caught.value.message


def test_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'new' / 'store.db'}")
    assert (tmp_path / "new" / "store.db").stat().st_mode & 0o777 == 0o600
    store.close()


def test_failed_write_leaves_nothing(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.write() as connection:
        connection.execute(text("INSERT INTO store_identity VALUES ('other', 0)"))
        raise ZeroDivisionError
    with store.read() as connection:
        assert connection.scalar(text("SELECT count(*) FROM store_identity")) == 1


def test_reader_sees_one_state_while_others_write(store: Store) -> None:
    count = text("SELECT count(*) FROM store_identity")
    with store.read() as reading:
        before = reading.scalar(count)
        with store.write() as writing:
            writing.execute(text("INSERT INTO store_identity VALUES ('other', 0)"))
        assert reading.scalar(count) == before
    with store.read() as connection:
        assert connection.scalar(count) == before + 1


def test_writer_that_freezes_in_a_transaction_loses_its_locks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    touch = update(tasks).values(revision=tasks.c.revision + 1)
    with postgres_database("store") as url:
        frozen, other = Store(url), Store(url)
        make_task(frozen)
        monkeypatch.setattr(store_module, "IDLE_MILLISECONDS", 1_000)
        frozen.engine.dispose()  # its next connection is bound as above
        with pytest.raises(StoreUnavailable), frozen.write() as connection:
            connection.execute(touch)
            with other.write() as second:  # waits for the row that the first one holds
                second.execute(touch)
            with other.read() as second:
                assert second.execute(text("SELECT revision FROM tasks")).scalar() == 1
        with frozen.write() as connection:  # it goes on with a new connection
            connection.execute(touch)
        frozen.close()
        other.close()
