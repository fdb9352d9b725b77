"""What counts the iterations of a loop that calls ``update``: a closure, which costs less than a method."""

from __future__ import annotations

from collections.abc import Callable

from syncmon_widgets.iterations import own
from syncmon_widgets.loop_run import ONE_STEP, LoopRun


def counter(run: LoopRun) -> tuple[Callable[..., None], Callable[[LoopRun], None]]:
    """The function that counts, from any thread, and the one that turns it to another run."""

    one = 1

    def update(n: float = 1) -> None:
        """Count ``n`` iterations more, from any thread; raises TaskStopped, and waits while paused."""
        if n is not one and n.__class__ is not int:  # `update()` looks at nothing else
            n = own(n, "n")
        run.done += n
        if run.gate:
            run.hold()

    def update_locked(n: float = 1) -> None:
        """Count ``n`` iterations more, from any thread; raises TaskStopped, and waits while paused."""
        run.add(n)

    def turn_to(other: LoopRun) -> None:
        nonlocal run
        run = other

    return (update if ONE_STEP else update_locked), turn_to
