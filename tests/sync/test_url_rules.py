"""What a connection's URL may name."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from syncmon_ext.model.connection import Connection
from syncmon_ext.model.errors import InvalidConfig, SyncmonError
from syncmon_ext.sync import engine_url, inherited
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sqlite import SqliteSession


def connection(url: str) -> Connection:
    return Connection(name="c", url=url)


def refused(url: str) -> InvalidConfig:
    with pytest.raises(InvalidConfig) as caught:
        engine_url.check(connection(url))
    assert "c" in caught.value.message
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////data/x.db",
        "sqlite+pysqlite:////data/x.db",
        "postgresql://etl@localhost:5432/warehouse",
        "postgresql+psycopg://etl@db.example/warehouse?sslmode=verify-full&sslrootcert=/ca.pem",
        "postgresql://etl@/warehouse?host=/run/postgresql",
        "postgresql://etl@a,b/warehouse?target_session_attrs=read-write&application_name=x",
        "postgresql://etl@[::1]:5432/warehouse",
    ],
)
def test_usual_url_is_allowed(url: str) -> None:
    engine_url.check(connection(url))


@pytest.mark.parametrize(
    "url",
    ["sqlite+pysqlcipher:////x.db", "postgresql+psycopg2://h/d", "postgresql+asyncpg://h/d"],
)
def test_driver_is_from_a_list(url: str) -> None:
    assert "driver" in refused(url).message


@pytest.mark.parametrize(
    "parameter",
    [
        "options=-csession_preload_libraries=x",
        "service=prod",
        "servicefile=/tmp/x",
        "passfile=/etc/shadow",
        "replication=database",
        "user=root",
        "dbname=other",
        "nonsense=1",
    ],
)
def test_parameter_is_from_a_list(parameter: str) -> None:
    assert parameter.split("=")[0] in refused(f"postgresql://etl@h/d?{parameter}").message


@pytest.mark.parametrize("parameter", ["mode=rwc", "uri=true", "vfs=unix-none", "timeout=3"])
def test_sqlite_takes_no_parameters(parameter: str) -> None:
    assert parameter.split("=")[0] in refused(f"sqlite:////x.db?{parameter}").message


METADATA = [
    "169.254.169.254",
    "169.254.170.2",
    "169.254.170.23",
    "0xA9FEA9FE",
    "0251.0376.0251.0376",
    "2852039166",
    "169.254.43518",
    "100.100.100.200",
    "metadata.google.internal",
    "METADATA.google.internal.",
    "metadata",
    "[fd00:ec2::254]",
    "[fd00:0ec2:0:0::0254]",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::a9fe:a9fe]",
    "[::a9fe:a9fe]",
    "[fe80::a9fe:a9fe]",
    "[fd00:c1::a9fe:a9fe]",
    "[fd00:42::42]",
    "168.63.129.16",
]


@pytest.mark.parametrize("host", METADATA)
def test_metadata_address_is_refused_in_any_notation(host: str) -> None:
    assert "metadata" in refused(f"postgresql://etl@{host}:5432/d").message
    plain = host.strip("[]")
    assert "metadata" in refused(f"postgresql://etl@/d?host=db.example,{plain}").message
    assert "metadata" in refused(f"postgresql://etl@db.example/d?hostaddr={plain}").message


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "127.0.0.1",
        "[::1]",
        "10.0.0.7",
        "db.example",
        "[fd00:1::254]",
        "metadata.example",
    ],
)
def test_other_address_is_no_metadata(host: str) -> None:
    engine_url.check(connection(f"postgresql://etl@{host}:5432/d"))


def test_name_that_leads_to_metadata_is_refused_before_connecting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def leads_there(*_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 5432))]

    monkeypatch.setattr(socket, "getaddrinfo", leads_there)
    with pytest.raises(InvalidConfig, match="metadata"):
        PostgresSession(
            connection("postgresql://etl@harmless.example/d"),
            application_name="x",
            read_only=True,
        )


# -- SQLite's roots ------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one folder that SQLite files may be in."""
    folder = tmp_path / "root"
    folder.mkdir()
    (tmp_path / "outside").mkdir()
    monkeypatch.setenv(inherited.ROOTS_VARIABLE, str(folder))
    return folder


def test_file_below_a_root_is_opened(root: Path) -> None:
    (root / "deep").mkdir()
    for path in (root / "a.db", root / "deep" / "b.db", root / "deep" / ".." / "c.db"):
        session = SqliteSession(connection(f"sqlite:///{path}"), read_only=False)
        session.close()
        assert path.exists()


@pytest.mark.parametrize("path", ["../outside/x.db", "deep/../../outside/x.db", "../root-2/x.db"])
def test_path_that_leads_out_is_refused(root: Path, path: str) -> None:
    (root / "deep").mkdir()
    (root.parent / "root-2").mkdir()
    assert "folder" in refused(f"sqlite:///{root / path}").message
    assert not (root / path).resolve().exists()


def test_link_that_leads_out_is_refused(root: Path) -> None:
    outside = root.parent / "outside"
    (root / "folder").symlink_to(outside)
    (root / "file.db").symlink_to(outside / "x.db")
    (root / "circle.db").symlink_to(root / "circle.db")
    for path in ("folder/x.db", "file.db", "circle.db"):
        refused(f"sqlite:///{root / path}")
    assert list(outside.iterdir()) == []


def test_link_within_a_root_is_followed(root: Path) -> None:
    (root / "real.db").touch()
    (root / "link.db").symlink_to(root / "real.db")
    found = engine_url.sqlite_path(connection(f"sqlite:///{root / 'link.db'}"))
    assert found == (root / "real.db").resolve()


@pytest.mark.parametrize("roots", [[""], ["", " "], [f"/a{os.pathsep}/b"]])
def test_root_without_a_name_allows_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, roots: list[str]
) -> None:
    monkeypatch.setenv(inherited.ROOTS_VARIABLE, "")
    inherited.hand_down(sqlite_roots=roots, log_details=False)
    refused(f"sqlite:///{tmp_path / 'x.db'}")
    refused("sqlite:////a/x.db")


def test_many_roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    roots = [tmp_path / "a", tmp_path / "b"]
    monkeypatch.setenv(inherited.ROOTS_VARIABLE, os.pathsep.join(map(str, roots)))
    for root in roots:
        engine_url.check(connection(f"sqlite:///{root / 'x.db'}"))
    refused(f"sqlite:///{tmp_path / 'c' / 'x.db'}")


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///file:/etc/passwd?mode=ro&uri=true",
        "sqlite:///file:x.db",
        "sqlite:////file:x.db",
        "sqlite:///FILE:x.db",
        "sqlite:///:memory:",
        "sqlite://",
    ],
)
def test_uri_or_database_in_memory_is_refused(url: str) -> None:
    with pytest.raises(SyncmonError) as caught:
        engine_url.check(connection(url))
    assert caught.value.hint
