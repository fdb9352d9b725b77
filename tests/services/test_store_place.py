from __future__ import annotations

import json
from pathlib import Path

import pytest

from syncmon_ext.services.server_settings import server_settings
from syncmon_ext.services.store_place import default_store_url, store_place
from syncmon_ext.store.store import Store


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty machine: no variable, and two of Jupyter's config dirs, the first one before the other."""
    monkeypatch.delenv("SYNCMON_STORE", raising=False)
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "mine"))
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(tmp_path / "first"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    for name in ("mine", "first"):
        (tmp_path / name).mkdir()
    return tmp_path


def python(url: str) -> str:
    return f'name = "{url}"\nc.SyncmonApp.store_url = name\n'


def in_json(url: object) -> str:
    return json.dumps({"SyncmonApp": {"store_url": url}})


def test_default_store_is_in_jupyters_data_dir(places: Path) -> None:
    place = store_place()
    assert place.url == f"sqlite:///{places}/data/syncmon/store.db"
    assert place.named_by == ""
    Store(place.url).close()
    assert (places / "data/syncmon/store.db").stat().st_mode & 0o777 == 0o600


def test_folder_of_the_default_store_may_hold_any_character(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(places / "a ?#%40ü"))
    store = Store(default_store_url())
    store.close()
    assert (places / "a ?#%40ü/syncmon/store.db").exists()


def test_option_comes_before_the_variable_and_that_before_jupyters_configuration(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = places / "mine/jupyter_server_config.py"
    path.write_text(python("sqlite:////configured.db"))
    assert store_place().url == "sqlite:////configured.db"
    assert store_place().named_by == f"SyncmonApp.store_url in {path}"
    monkeypatch.setenv("SYNCMON_STORE", "postgresql://u:hunter2@h/d")
    assert store_place().url == "postgresql://u:hunter2@h/d"
    assert store_place().named_by == "$SYNCMON_STORE"
    assert "hunter2" not in repr(store_place())
    assert store_place("sqlite:////told.db").url == "sqlite:////told.db"
    assert store_place("sqlite:////told.db").named_by == "--store"


def test_files_are_read_in_the_order_of_the_server(places: Path) -> None:
    for number, (name, text) in enumerate(
        [
            ("first/jupyter_syncmon_ext_config.json", in_json("sqlite:////0.db")),
            ("mine/jupyter_config.py", python("sqlite:////1.db")),
            ("first/jupyter_config.json", in_json("sqlite:////2.db")),
            ("mine/jupyter_server_config.py", python("sqlite:////3.db")),
            ("mine/jupyter_server_config.json", in_json("sqlite:////4.db")),
            ("first/jupyter_server_config.py", python("sqlite:////5.db")),
        ]
    ):
        (places / name).write_text(text)
        assert store_place().url == f"sqlite:////{number}.db", name
        assert store_place().named_by.endswith(str(places / name))


def test_file_with_a_part_that_it_loads_is_read_as_jupyter_reads_it(places: Path) -> None:
    (places / "mine/part.py").write_text(python("sqlite:////part.db"))
    (places / "mine/jupyter_server_config.py").write_text("load_subconfig('part.py')\n")
    assert store_place().url == "sqlite:////part.db"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("jupyter_server_config.py", python("sqlite:////x.db") + "1 / 0\n"),
        ("jupyter_server_config.py", "c.SyncmonApp.store_url = = 3\n"),
        ("jupyter_server_config.json", '{"SyncmonApp": '),
    ],
)
def test_file_that_cannot_be_read_is_left_out_and_told(places: Path, name: str, text: str) -> None:
    (places / "mine/jupyter_config.json").write_text(in_json("sqlite:////good.db"))
    (places / "mine" / name).write_text(text)
    place = store_place()
    assert place.url == "sqlite:////good.db"
    (trouble,) = place.troubles
    assert trouble.startswith(f"{places / 'mine' / name} cannot be read: ")


@pytest.mark.parametrize("value", ["", None, 3, ["sqlite:////x.db"]])
def test_value_that_names_no_store_is_none(places: Path, value: object) -> None:
    (places / "mine/jupyter_server_config.json").write_text(in_json(value))
    assert server_settings().store_url is None
    assert store_place().url == default_store_url()


def test_file_whose_place_depends_on_the_working_directory_is_known(places: Path) -> None:
    assert store_place("sqlite:///store.db").is_relative
    for url in ("sqlite:////a/store.db", "sqlite:///~/store.db", "postgresql://h/d", "nonsense"):
        assert not store_place(url).is_relative, url
