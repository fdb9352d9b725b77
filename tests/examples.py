"""How many examples a property test takes: few in ``make test``, many in ``make faults``."""

from __future__ import annotations

import os
from typing import Final

from hypothesis import HealthCheck, settings

LONG: Final = os.environ.get("SYNCMON_FAULTS") == "long"
TIMES: Final = 20 if LONG else 1


def examples(count: int) -> settings:
    """``count`` examples against databases that a test makes once; many times as many in the long form."""
    return settings(
        max_examples=count * TIMES,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        derandomize=not LONG,  # the short form is the same every time
    )
