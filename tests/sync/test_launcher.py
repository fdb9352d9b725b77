"""The folder in which workers write what they print."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from syncmon_ext.sync import launcher


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, which everybody may write to."""
    monkeypatch.delenv(launcher.OUTPUT_VARIABLE, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_folder_is_the_user_s_alone(temporary: Path) -> None:
    folder = launcher.output_folder()
    assert folder == temporary / f"syncmon-{os.getuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert launcher.output_folder() == folder


def test_folder_that_others_may_write_to_is_not_used(temporary: Path) -> None:
    taken = temporary / f"syncmon-{os.getuid()}"
    taken.mkdir()
    taken.chmod(0o777)
    folder = launcher.output_folder()
    assert folder != taken
    assert folder.stat().st_mode & 0o777 == 0o700
    assert launcher.output_folder() == folder


def test_link_that_somebody_has_left_there_is_not_followed(temporary: Path) -> None:
    (temporary / "elsewhere").mkdir(mode=0o700)
    (temporary / f"syncmon-{os.getuid()}").symlink_to(temporary / "elsewhere")
    assert launcher.output_folder().resolve() != temporary / "elsewhere"
