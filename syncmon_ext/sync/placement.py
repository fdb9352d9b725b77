"""Puts copied units in place: each together with those tied to it, and after its parents."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any

from syncmon_ext.model.connection import Connection
from syncmon_ext.model.state import UnitState
from syncmon_ext.sync import jobs
from syncmon_ext.sync.open_jobs import OpenJobs
from syncmon_ext.sync.outcomes import Outcomes
from syncmon_ext.sync.ownership import Ownership
from syncmon_ext.sync.unit_copy import UnitCopy


class Placement:
    """The placement of one run's units; ``units`` are all of them, by their ids."""

    def __init__(
        self,
        target: Connection,
        own: Ownership,
        units: Mapping[str, UnitCopy],
        open_jobs: OpenJobs,
        outcomes: Outcomes,
    ) -> None:
        self._target = target
        self._own = own
        self._units = units
        self._open_jobs = open_jobs
        self._outcomes = outcomes

    def advance(self, copy: UnitCopy) -> None:
        """Begin what comes next for a unit that is copied: its indexes, then the swap of it and of those
        tied to it, once all are copied and their parents in place."""
        group = [copy, *(self._units[u] for u in copy.plan.tied_to if u in self._units)]
        for member in group[1:]:
            if member.runtime.state in (UnitState.FAILED, UnitState.SKIPPED):
                name = member.plan.unit_id
                self._outcomes.fail(
                    copy,
                    f"{copy.plan.unit_id}: it is put in place together with {name}, which failed",
                    f"mend {name} and start again: both go on",
                )
                return
        if any(not member.copied for member in group):
            return
        for member in group:
            if not member.indexed:
                self._index(member)
        if any(not member.indexed for member in group):
            return
        if self._parents_in_place(group):
            self._swap(group)

    def _parents_in_place(self, group: list[UnitCopy]) -> bool:
        inside = {member.plan.unit_id for member in group}
        for member in group:
            for parent_id in member.plan.depends_on:
                parent = self._units.get(parent_id)
                if parent_id not in inside and parent is not None and not parent.swapped:
                    return False
        return True

    def _index(self, copy: UnitCopy) -> None:
        copy.change(state=UnitState.SWAPPING, speed=None, eta_seconds=None)
        self._outcomes.save(copy)
        indexed = partial(self._outcomes.indexed, copy)
        self._open_jobs.begin_for(copy, indexed, jobs.index, self._target, self._own, copy.plan)

    def _swap(self, group: list[UnitCopy]) -> None:
        for member in group:
            member.change(state=UnitState.SWAPPING, speed=None, eta_seconds=None)
            member.busy = True
            self._outcomes.save(member)
        self._open_jobs.begin(
            group[0].plan.unit_id,
            partial(self._swapped, group),
            jobs.swap,
            self._target,
            self._own,
            [member.plan for member in group],
        )

    def _swapped(self, group: list[UnitCopy], future: Future[Any]) -> None:
        for member in group:
            member.busy = False
        answer = self._outcomes.answer(group[0], future)
        if answer is not None:
            self._outcomes.swapped(group, answer[0])
            return
        for member in group[1:]:
            if group[0].ended:
                self._outcomes.fail(
                    member, str(group[0].runtime.error), group[0].runtime.hint or ""
                )
