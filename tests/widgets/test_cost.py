from __future__ import annotations

import subprocess
import sys

import pytest

from tests.server import ROOT


def test_track_and_its_updates_cost_less_than_those_of_tqdm() -> None:
    """In processor time; the benchmark holds them to half of it, on a machine that does nothing else."""
    pytest.importorskip("tqdm")
    command = [sys.executable, str(ROOT / "benchmarks" / "track.py"), "--at-most=1"]
    done = subprocess.run(
        [*command, "--iterations=200000", "--rounds=15"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
