"""tqdm whose bars are tasks as well: ``from syncmon_widgets import tqdm``, or from its ``auto``.

The bar is drawn as ever, with all that tqdm can do; besides, it is on the page, in the log and in
pandas, and Pause and Stop work on it. For loops that need no bar where they run, ``track`` costs less.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any

from tqdm.auto import tqdm as _Bar  # type: ignore[import-untyped]  # noqa: N812

from syncmon_ext.model.loop import LONGEST_NAME
from syncmon_widgets.loop import Loop, counted, finish
from syncmon_widgets.loop_run import LoopRun

__all__ = ["tqdm", "trange"]


class tqdm(_Bar):  # type: ignore[misc]  # noqa: N801  # tqdm ships no types; its name
    """A tqdm bar that reports itself. ``desc`` names the task; description and postfix are its note."""

    _run: LoopRun | None = None
    _iterates = False  # then tqdm's own loop calls update(), for what is counted already

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.disable:
            return
        name = str(self.desc or "").strip(" :") or "loop"
        loop: Loop[Any] = Loop(None, name, _count(self.total))
        loop.begin()
        self._run = loop.run
        if self.n:
            loop.update(int(self.n))

    def __iter__(self) -> Iterator[Any]:
        run = self._run
        if run is None:  # disabled
            return iter(super().__iter__())
        self._iterates = True
        return counted(lambda: run, super().__iter__())

    def update(self, n: float | None = 1) -> bool | None:
        """Count on; waits while the task is paused, and raises TaskStopped."""
        shown: bool | None = super().update(n)
        if self._run is not None and not self._iterates:
            # Of fractions the whole iterations count.
            self._run.add(int(self.n) - self._run.done)
        return shown

    def reset(self, total: float | None = None) -> None:
        """Count from zero again."""
        super().reset(total)
        if self._run is not None:
            self._run.done = 0
            self._run.total = _count(self.total)

    def display(self, *args: Any, **kwargs: Any) -> Any:
        """Draw the bar, and take over what it says."""
        run = self._run
        if run is not None:
            said = ", ".join(str(part) for part in (self.desc, self.postfix) if part)
            run.note = said.strip(" :")[:LONGEST_NAME] or None
            run.total = _count(self.total)
            if not self._iterates:
                run.done = int(self.n)  # which may be set, with a refresh() after it
        return super().display(*args, **kwargs)

    def close(self) -> None:
        """End the bar and the task."""
        if self._run is not None:
            finish(self._run, None)
        super().close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._run is not None:
            finish(self._run, error)
        super().__exit__(kind, error, trace)


def trange(*args: Any, **kwargs: Any) -> tqdm:
    """``tqdm(range(…))``."""
    return tqdm(range(*args), **kwargs)


def _count(total: float | None) -> int | None:
    return None if total is None or total < 0 or total == float("inf") else int(total)
