"""What counts as a number of iterations: integers and floats, numpy's too, as Python's own."""

from __future__ import annotations

import math
import operator
from typing import Any, Final

from syncmon_ext.model.loop import LARGEST

ROUNDING: Final = 1e-6  # ten times 0.1 is one iteration


def own(value: Any, what: str) -> int | float:
    """``value`` as an int or a float; raises TypeError and ValueError, naming it ``what``."""
    try:
        return operator.index(value)
    except TypeError:
        pass
    if isinstance(value, str | bytes):
        raise TypeError(f"{what} is {value!r}: it is a number of iterations")
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{what} is {value!r}: it is a number of iterations") from None
    if not math.isfinite(found):
        raise ValueError(f"{what} is {value!r}: it is a number of iterations")
    return found


def total_of(value: Any) -> int | None:
    """A total in whole iterations; None where it is unknown, or infinite as tqdm has it."""
    if value is None or (isinstance(value, float) and value == math.inf):
        return None
    found = own(value, "total")
    if found < 0:
        raise ValueError(f"total is {value!r}: it is a number of iterations")
    return whole(found)


def whole(done: int | float) -> int:
    """The whole iterations among ``done``, as a store holds them."""
    return min(max(0, math.floor(done + ROUNDING) if type(done) is float else int(done)), LARGEST)
