from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from syncmon_ext.model.config import Config
from syncmon_ext.services.configuration import Configuration, beside_the_server

FIRST = '[connections.first]\nurl = "sqlite:///a.db"\n'
SECOND = '[connections.second]\nurl = "sqlite:///b.db"\n'


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty machine: no variable, an empty working directory, one Jupyter config dir."""
    monkeypatch.delenv("SYNCMON_CONFIG", raising=False)
    monkeypatch.delenv("SYNCMON_STORE", raising=False)
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    for name in ("jupyter", "cwd"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    return tmp_path


def names(configuration: Configuration) -> list[str]:
    return list(configuration.current().connections)


def test_no_file_is_an_empty_configuration_without_an_error() -> None:
    configuration = Configuration(trust_cwd=True)
    assert configuration.current() == Config()
    assert configuration.error is None
    assert configuration.path is None


def test_places_are_looked_at_in_the_order_of_the_design(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (places / "jupyter/syncmon.toml").write_text(FIRST)
    assert names(Configuration(trust_cwd=True)) == ["first"]
    (places / "cwd/syncmon.toml").write_text(SECOND)
    assert names(Configuration(trust_cwd=True)) == ["second"]
    (places / "variable.toml").write_text(FIRST)
    monkeypatch.setenv("SYNCMON_CONFIG", str(places / "variable.toml"))
    assert names(Configuration(trust_cwd=True)) == ["first"]
    (places / "explicit.toml").write_text(SECOND)
    configuration = Configuration("../explicit.toml", trust_cwd=True)
    monkeypatch.chdir(places)
    assert names(configuration) == ["second"]
    assert configuration.current().connections["second"].url == f"sqlite:///{places}/b.db"
    assert configuration.path == places / "cwd/../explicit.toml"


def test_working_directory_is_not_read_unless_trusted(places: Path) -> None:
    (places / "cwd/syncmon.toml").write_text(FIRST)
    assert names(Configuration()) == []
    assert places / "cwd/syncmon.toml" not in Configuration().places()


def test_file_that_an_editor_of_windows_has_saved_is_read(places: Path) -> None:
    path = places / "syncmon.toml"
    path.write_bytes(b"\xef\xbb\xbf" + FIRST.replace("\n", "\r\n").encode())
    configuration = Configuration(str(path))
    assert names(configuration) == ["first"], configuration.error


def test_changed_file_is_read_again(places: Path) -> None:
    path = places / "cwd/syncmon.toml"
    path.write_text(FIRST)
    configuration = Configuration(trust_cwd=True)
    assert names(configuration) == ["first"]
    before = path.stat()
    path.write_text(SECOND)
    assert names(configuration) == ["second"]
    # An editor that replaces the file within one tick of the clock, with as many bytes:
    other = places / "cwd/other"
    other.write_text(SECOND.replace("second", "secone"))
    os.utime(other, ns=(before.st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)
    assert names(configuration) == ["secone"]


def test_unchanged_file_is_read_once(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (places / "cwd/syncmon.toml").write_text(FIRST)
    configuration = Configuration(trust_cwd=True)
    first = configuration.current()
    assert configuration.current() is first


def test_broken_file_is_an_error_and_the_last_good_version_stays(places: Path) -> None:
    path = places / "cwd/syncmon.toml"
    path.write_text(FIRST)
    configuration = Configuration(trust_cwd=True)
    assert names(configuration) == ["first"]
    path.write_text(FIRST + "oops = = 3")
    assert names(configuration) == ["first"]
    error = configuration.error
    assert error is not None
    assert error.message.startswith(f"{path}: not valid TOML")
    assert "line 3" in error.message
    path.write_text(SECOND)
    assert configuration.error is None
    assert names(configuration) == ["second"]


def test_file_broken_from_the_start_is_an_error_and_an_empty_configuration(places: Path) -> None:
    (places / "cwd/syncmon.toml").write_bytes(b"a = '\xff'")
    configuration = Configuration(trust_cwd=True)
    assert configuration.error is not None
    assert "UTF-8" in configuration.error.message
    assert names(configuration) == []


def test_explicit_file_that_is_missing_is_an_error(places: Path) -> None:
    configuration = Configuration(places / "gone.toml")
    assert configuration.error is not None
    assert "there is no such file" in configuration.error.message
    (places / "gone.toml").write_text(FIRST)
    assert configuration.error is None
    assert names(configuration) == ["first"]
    (places / "gone.toml").unlink()
    assert configuration.error is not None
    assert names(configuration) == ["first"]


def test_folder_in_place_of_the_file_is_an_error(places: Path) -> None:
    configuration = Configuration(places / "jupyter")
    assert configuration.error is not None
    assert "cannot be read" in configuration.error.message


def test_found_file_that_goes_away_takes_its_tasks_along(places: Path) -> None:
    path = places / "cwd/syncmon.toml"
    path.write_text(FIRST)
    configuration = Configuration(trust_cwd=True)
    assert names(configuration) == ["first"]
    path.unlink()
    assert names(configuration) == []
    assert configuration.error is None


def test_file_that_jupyters_configuration_names_comes_before_those_that_lie_about(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (places / "jupyter/syncmon.toml").write_text(SECOND)
    (places / "named.toml").write_text(FIRST)
    said = {"SyncmonApp": {"config_file": str(places / "named.toml")}}
    (places / "jupyter/jupyter_server_config.json").write_text(json.dumps(said))
    assert names(beside_the_server(trust_cwd=True)) == ["first"]
    (places / "cwd/syncmon.toml").write_text(SECOND)
    assert names(beside_the_server(trust_cwd=True)) == ["second"]
    assert names(beside_the_server()) == ["first"]
    (places / "variable.toml").write_text(SECOND)
    monkeypatch.setenv("SYNCMON_CONFIG", str(places / "variable.toml"))
    assert names(beside_the_server()) == ["second"]
    monkeypatch.delenv("SYNCMON_CONFIG")
    (places / "named.toml").unlink()
    error = beside_the_server().error
    assert error is not None
    assert "there is no such file" in error.message
    assert "SyncmonApp.config_file" in error.hint
