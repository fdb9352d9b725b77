"""A whole copy in one process: what the scheduler does with the jobs, without its processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from syncmon_ext.model.chunk import Chunk, ChunkResult
from syncmon_ext.model.plan import Plan, UnitPlan
from syncmon_ext.model.task import TaskSpec
from syncmon_ext.sync import jobs, ranges
from syncmon_ext.sync.databases import sessions
from syncmon_ext.sync.ownership import Ownership
from syncmon_ext.sync.results import SwapResult, UnitMark
from tests.sync.databases import Database


def owner(run: str = "run1", token: int = 1, store: str = "store1") -> Ownership:
    return Ownership(store_id=store, task_id="task", run_id=run, token=token)


class Copy:
    """One run of a task between two databases, step by step."""

    def __init__(
        self, source: Database, target: Database, own: Ownership | None = None, **spec: Any
    ) -> None:
        self.source, self.target = source.connection, target.connection
        self.own = own or owner()
        described = {"source": self.source.name, "target": self.target.name, **spec}
        if not spec.get("direct"):  # every test of a copy is one of the digests too
            described.setdefault("verify", "hash")
        self.spec = msgspec.convert(described, TaskSpec)
        self.plan: Plan = jobs.plan("task", self.spec, self.source, self.target)
        self.snapshot: str | None = None
        self._marks: dict[str, UnitMark] = {}

    @property
    def units(self) -> list[UnitPlan]:
        return self.plan.units

    @contextmanager
    def claimed(self) -> Iterator[Copy]:
        jobs.claim(self.target, self.own, self.units)
        with jobs.hold_snapshot(self.source) as self.snapshot:
            yield self

    def prepare(self, unit: UnitPlan) -> UnitMark:
        mark = jobs.prepare(self.source, self.target, self.own, unit, self.snapshot)
        self._marks[unit.unit_id] = mark
        return mark

    def within(self, unit: UnitPlan) -> UnitPlan:
        """The unit with what was found when it began, as the scheduler hands it on."""
        if (mark := self._marks.get(unit.unit_id)) is None:
            return unit
        return msgspec.structs.replace(unit, window=mark.window, made_of=mark.made_of)

    def chunks(self, unit: UnitPlan, mark: UnitMark, size: int) -> Iterator[Chunk]:
        """The chunks of what is left, by walks of three."""
        unit = self.within(unit)
        for low, high in ranges.gaps(mark.committed, mark.upper):
            while True:
                found = jobs.walk(self.source, unit, low, high, [size] * 3, self.snapshot)
                assert 1 <= len(found) <= 3
                yield from found
                low = found[-1].high
                if low == high:
                    break

    def copy(self, unit: UnitPlan, chunk: Chunk) -> ChunkResult:
        arguments = (self.source, self.target, self.own, self.within(unit), chunk, self.snapshot)
        return jobs.copy(*arguments)

    def copy_all(self, unit: UnitPlan, size: int) -> list[ChunkResult]:
        return [self.copy(unit, c) for c in self.chunks(unit, self.prepare(unit), size)]

    def swap(self, *units: UnitPlan) -> list[SwapResult]:
        for unit in units:
            assert jobs.index(self.target, self.own, unit) == []
        return jobs.swap(self.target, self.own, list(units))

    def run(self, size: int = 1000) -> dict[str, int]:
        """Everything, from the claim to the end; the rows of each unit."""
        rows: dict[str, int] = {}
        done: set[str] = set()
        with self.claimed():
            for unit in self.units:
                results = self.copy_all(unit, size)
                rows[unit.unit_id] = sum(result.rows for result in results)
            for unit in self.units:
                if unit.unit_id in done:
                    continue
                group = [unit, *(u for u in self.units if u.unit_id in unit.tied_to)]
                for result in self.swap(*sorted(group, key=lambda u: u.ordinal)):
                    assert result.rows >= rows[result.unit_id]  # more where it went on
                    done.add(result.unit_id)
        jobs.forget(self.target, self.own, self.units)
        sessions.close_all()  # as a run's processes end with it
        return rows


def errors(copy: Copy) -> list[str]:
    """What the plan says is wrong, of all tables."""
    return [error for unit in copy.units for error in unit.errors]
