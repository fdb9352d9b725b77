"""Chunks that run alone: each of their values is as large as a worker's whole memory may nearly be."""

from __future__ import annotations

from typing import Final

from syncmon_ext.model.errors import SyncmonError

LARGE_BYTES: Final = 32 << 20  # of a value: two chunks may hold it twice each beside one another


class RunAlone(SyncmonError):
    """A chunk holds a large value: it is to be copied while no other is in flight."""

    code = "run_alone"
