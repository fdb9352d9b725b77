"""Jobs that are under way, and who takes the answer of each."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from typing import Any

from syncmon_ext.sync.attempts import attempted
from syncmon_ext.sync.outcomes import Outcomes
from syncmon_ext.sync.pool import ChildPool
from syncmon_ext.sync.unit_copy import UnitCopy


class OpenJobs:
    """The open jobs of one run; who collects takes the answers, one after the other."""

    def __init__(self, pool: ChildPool, outcomes: Outcomes) -> None:
        self._pool = pool
        self._outcomes = outcomes
        self._takers: dict[Future[Any], Callable[[Future[Any]], None]] = {}

    def __len__(self) -> int:
        return len(self._takers)

    def add(self, future: Future[Any], taker: Callable[[Future[Any]], None]) -> None:
        """Have ``taker`` called with the future once that is done."""
        self._takers[future] = taker

    def begin(
        self,
        label: str,
        taker: Callable[[Future[Any]], None],
        function: Callable[..., Any],
        *arguments: Any,
    ) -> None:
        """Begin a job in a child of the pool."""
        self.add(self._pool.submit(attempted, label, function, *arguments), taker)

    def begin_for(
        self,
        copy: UnitCopy,
        taker: Callable[[Any], None],
        function: Callable[..., Any],
        *arguments: Any,
    ) -> None:
        """Begin a job for one unit, which is busy meanwhile; ``taker`` is given what it answers.

        It is not called where the job fails, which is dealt with, nor where the unit has ended before.
        """
        copy.busy = True
        answered = partial(self._answered, copy, taker)
        self.begin(copy.plan.unit_id, answered, function, *arguments)

    def _answered(self, copy: UnitCopy, taker: Callable[[Any], None], future: Future[Any]) -> None:
        copy.busy = False
        answer = self._outcomes.answer(copy, future)
        if answer is not None and not copy.ended:
            taker(answer[0])
            self._outcomes.save(copy)

    def collect(self, seconds: float) -> None:
        """Hand over the answers that are there, or that come first within ``seconds``."""
        if not self._takers:
            time.sleep(seconds)
            return
        done, _ = wait(list(self._takers), timeout=seconds, return_when=FIRST_COMPLETED)
        for future in done:
            self._takers.pop(future)(future)

    def forget(self) -> None:
        """Take no answer any more."""
        self._takers.clear()
