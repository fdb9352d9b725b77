"""Small file systems for tests, which fill up."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[Path]:
    """A file system of ``size``, as in ``300k``, at ``folder``, which is made."""
    if not shutil.which("mount") or os.geteuid() != 0:
        pytest.fail("this test makes a small file system: run it as root, with mount")
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def make_room(folder: Path, size: str) -> None:
    """Give the file system at ``folder`` another size."""
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)


def fill_up(folder: Path) -> Path:
    """Leave no room in the file system of ``folder``; gives the file that takes it."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4_096)
    return filler
