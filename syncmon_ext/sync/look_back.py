"""The look back: what a target still has of a run, beside what the store has seen committed there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import wait
from typing import Final

from syncmon_ext.model.errors import ConfigChanged
from syncmon_ext.model.plan import UnitPlan
from syncmon_ext.model.state import UnitState
from syncmon_ext.model.unit import UnitRuntime
from syncmon_ext.store.runs import FrozenRun
from syncmon_ext.sync import jobs
from syncmon_ext.sync.ownership import Ownership
from syncmon_ext.sync.results import Standing
from syncmon_ext.sync.scheduler import Scheduler

STANDS_SECONDS: Final = 5.0  # for a target that went away before the end is recorded


class LookBack:
    """Looks back for one run; ``scheduler`` carries its jobs."""

    def __init__(self, frozen: FrozenRun, own: Ownership, scheduler: Scheduler) -> None:
        self._frozen = frozen
        self._own = own
        self._scheduler = scheduler

    def fallen_short(
        self, plans: Sequence[UnitPlan], runtimes: Mapping[str, UnitRuntime]
    ) -> set[str]:
        """The ids of the units of which the target has less than ``runtimes`` say; waits for the target.

        Raises ConfigChanged where the run has ended in the target, and Interrupted.
        """
        begun = {
            unit_id: unit
            for unit_id, unit in runtimes.items()
            if unit.chunks_committed or unit.state is UnitState.COMPLETED
        }
        if not begun:
            return set()
        standing: Standing = self._scheduler.call(
            "look back", jobs.stands, self._frozen.target, self._own, plans
        )
        if standing.ended.intersection(begun):
            raise ConfigChanged(
                f"run {self._frozen.run_id} has ended in the target, or was cleared there: this store is an "
                "older one, or somebody cleaned the target",
                hint="begin anew: run --fresh, Start fresh… on the page, fresh = true elsewhere",
            )
        return {unit_id for unit_id, unit in begun.items() if _has_less(standing, unit)}

    def placed(self, plans: Sequence[UnitPlan]) -> set[str] | None:
        """The ids of the units whose rows are in place; None where the target does not answer soon."""
        job = self._scheduler.submit("end", jobs.stands, self._frozen.target, self._own, plans)
        wait([job], timeout=STANDS_SECONDS)
        if not job.done() or job.exception() is not None:
            return None
        standing: Standing = job.result()
        return standing.placed


def _has_less(standing: Standing, unit: UnitRuntime) -> bool:
    """Whether the target has less of the unit than the store has seen committed there."""
    if unit.unit_id in standing.placed:
        return False
    return (
        unit.state is UnitState.COMPLETED
        or standing.chunks.get(unit.unit_id, 0) < unit.chunks_committed
    )
