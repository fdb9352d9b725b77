from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from syncmon_ext.store import store as store_module
from syncmon_ext.store.filesystem import Mount, filesystem_of, is_network, kind_of
from syncmon_ext.store.store import Store

MOUNTS = [
    Mount("/", "ext4"),
    Mount("/home", "nfs4"),
    Mount("/home/me/local", "xfs"),
    Mount("/data", "ext4"),
    Mount("/data", "fuse.sshfs"),
]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/store.db", "ext4"),
        ("/homework/store.db", "ext4"),
        ("/home/me/store.db", "nfs4"),
        ("/home/me/local/store.db", "xfs"),
        ("/data/store.db", "fuse.sshfs"),
    ],
)
def test_deepest_and_newest_mount_holds_the_file(path: str, kind: str) -> None:
    assert kind_of(PurePosixPath(path), MOUNTS) == kind


def test_filesystem_that_is_not_mounted_is_unknown() -> None:
    assert kind_of(PurePosixPath("/a"), []) == "unknown"


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "CIFS", "smb3", "9p", "fuse.sshfs", "lustre"])
def test_network_filesystems_are_known(kind: str) -> None:
    assert is_network(kind)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "overlay", "tmpfs", "apfs", "NTFS", "fuseblk"])
def test_local_filesystems_are_known(kind: str) -> None:
    assert not is_network(kind)


def test_filesystem_of_a_link_is_that_of_the_file(tmp_path: Path) -> None:
    link = tmp_path / "proc"
    link.symlink_to("/proc/self/status")
    assert filesystem_of(link) == "proc"


@pytest.mark.parametrize(
    ("kind", "journal", "synchronous"), [("ext4", "wal", 1), ("nfs4", "delete", 2)]
)
def test_store_keeps_wal_off_a_network_filesystem(
    kind: str, journal: str, synchronous: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "filesystem_of", lambda _: kind)
    store = Store(f"sqlite:///{tmp_path / 'store.db'}")
    with store.read() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == journal
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == synchronous
    store.close()


def test_store_made_with_wal_leaves_it_on_a_network_filesystem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    first = Store(url)
    first.close()
    monkeypatch.setattr(store_module, "filesystem_of", lambda _: "nfs")
    second = Store(url)
    assert second.store_id == first.store_id
    with second.read() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "delete"
    second.close()
