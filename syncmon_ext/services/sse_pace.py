"""How often streams look for news and send them: fast while something moves, slow in a calm."""

from __future__ import annotations

from typing import Final

FASTEST_LOOK_SECONDS: Final = 0.005  # a look at SQLite costs microseconds
SLOWEST_LOOK_SECONDS: Final = 0.03  # a look by then costs less than can be measured
CALM_PER_LOOK: Final = 200.0  # seconds of calm for each second between two looks
SHARE_OF_LOOP: Final = 0.25  # of the event loop's time: it is Jupyter's first of all


def look_seconds(calm_seconds: float) -> float:
    """The time between two looks, when nothing has changed for ``calm_seconds``."""
    return min(SLOWEST_LOOK_SECONDS, max(FASTEST_LOOK_SECONDS, calm_seconds / CALM_PER_LOOK))


def push_seconds(push_interval: float, cost_seconds: float) -> float:
    """The time between two events about a task, of which the last one kept the loop busy so long."""
    return max(push_interval, cost_seconds / SHARE_OF_LOOP)
