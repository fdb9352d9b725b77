"""On what kind of filesystem a file lies: SQLite's WAL needs memory that one host shares."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import Final, NamedTuple

import psutil

# https://www.sqlite.org/wal.html: "all processes using a database must be on the same host computer".
# A folder of these may be mounted by another host, or maps no shared memory.
# fmt: off
NETWORK: Final = frozenset(
    {
        "9p", "afpfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs",
        "fakeowner", "fhgfs", "gfs", "gfs2", "glusterfs", "gpfs", "grpcfuse", "lustre",
        "macfuse", "ncpfs", "nfs", "nfs3", "nfs4", "ocfs2", "osxfuse", "panfs",
        "prl_fs", "smb", "smb2", "smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs",
        "webdav",
    }
)
# fmt: on
LOCAL_FUSE: Final = frozenset({"fuse.fuse-overlayfs"})  # the root of a rootless container
UNKNOWN: Final = "unknown"


class Mount(NamedTuple):
    """A mounted filesystem."""

    folder: str
    kind: str


def mounts() -> list[Mount]:
    """What is mounted on this host."""
    return [Mount(part.mountpoint, part.fstype) for part in psutil.disk_partitions(all=True)]


def kind_of(path: PurePath, mounted: Iterable[Mount]) -> str:
    """The kind of the filesystem that holds ``path`` (absolute), as in ``ext4``."""
    # The last mount on a folder hides the ones before it.
    holding = [mount for mount in mounted if path.is_relative_to(mount.folder)]
    deepest = max(holding, key=lambda mount: len(PurePath(mount.folder).parts), default=None)
    if deepest is None:
        return UNKNOWN
    return [mount for mount in holding if mount.folder == deepest.folder][-1].kind or UNKNOWN


def is_network(kind: str) -> bool:
    """Whether several hosts may see a filesystem of this kind; FUSE's are taken to be such."""
    kind = kind.lower()
    fuse = kind == "fuse" or kind.startswith("fuse.")
    return kind in NETWORK or (fuse and kind not in LOCAL_FUSE)


def filesystem_of(path: Path) -> str:
    """The kind of the filesystem that holds ``path`` now."""
    return kind_of(path.resolve(), mounts())
