"""Samples of an even run."""

from __future__ import annotations

from syncmon_ext.model.estimate import Sample


def steps(count: int, gap: float, rows: int, width: int = 100) -> list[Sample]:
    return [
        Sample(seconds=gap * i, rows=rows * i, bytes=rows * width * i) for i in range(count + 1)
    ]
