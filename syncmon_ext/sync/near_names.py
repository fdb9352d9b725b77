"""What a person may have meant by a name that is not there."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Final

NAMED: Final = 20  # of those that there are


def offered(wanted: Sequence[str], known: Sequence[str]) -> str:
    """The names of ``known`` that are like those ``wanted``, and what there is; case aside."""
    folded = {name.lower(): name for name in known}
    meant = [
        folded[name]
        for each in wanted
        for name in difflib.get_close_matches(each.lower(), folded, n=2, cutoff=0.6)
    ]
    guess = f"did you mean {' or '.join(dict.fromkeys(meant))}? " if meant else ""
    more = f" and {len(known) - NAMED:,} more" if len(known) > NAMED else ""
    return f"{guess}there is {', '.join(known[:NAMED])}{more}"
