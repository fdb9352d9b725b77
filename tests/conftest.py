from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.disks import mounted


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 KiB."""
    with mounted(tmp_path / "disk", "300k") as folder:
        yield folder
