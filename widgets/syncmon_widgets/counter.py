"""What counts the iterations of a loop that calls ``update``: a closure, which costs less than a method."""

from __future__ import annotations

from collections.abc import Callable

from syncmon_widgets.loop_run import ONE_STEP, LoopRun


def counter(run: LoopRun) -> tuple[Callable[..., None], Callable[[LoopRun], None]]:
    """The function that counts, from any thread, and the one that turns it to another run."""

    def update(n: float | None = None) -> None:
        """Count ``n`` iterations more, one by default; raises TaskStopped, and waits while paused."""
        if n is not None:  # what kind of number it is costs a look, which `update()` is spared
            run.add(n)
            return
        run.done += 1
        if run.gate:
            run.hold()

    def update_locked(n: float | None = None) -> None:
        """Count ``n`` iterations more, one by default; raises TaskStopped, and waits while paused."""
        run.add(1 if n is None else n)

    def turn_to(other: LoopRun) -> None:
        nonlocal run
        run = other

    return (update if ONE_STEP else update_locked), turn_to
