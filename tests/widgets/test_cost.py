from __future__ import annotations

import subprocess
import sys

import pytest

from tests.server import ROOT


def test_track_costs_at_most_half_of_tqdm_and_its_updates_less() -> None:
    """In processor time, so that what else the machine does has no say."""
    pytest.importorskip("tqdm")
    command = [sys.executable, str(ROOT / "benchmarks" / "track.py"), "--check"]
    done = subprocess.run(
        [*command, "--iterations=200000", "--rounds=15"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
