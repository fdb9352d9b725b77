"""What holds between the chunks of a run, in words."""

from __future__ import annotations

from typing import Final

from syncmon_ext.model.task import Consistency

PER_CHUNK: Final = "consistent per chunk"
ONE_SNAPSHOT: Final = "one snapshot for all chunks"


def planned(dialect: str, wanted: Consistency | None) -> str:
    """What a run will hold, and what a pause does to it."""
    if dialect != "postgresql" or wanted is Consistency.CHUNK:
        return PER_CHUNK
    if wanted is Consistency.SNAPSHOT:
        return (
            f"{ONE_SNAPSHOT}, as long as the worker holds it; after a pause the tables that are not in "
            "place begin again in a new one"
        )
    return f"{ONE_SNAPSHOT}, as long as the worker holds it; a resume goes on in a new one"


def stated(dialect: str, wanted: Consistency | None, *, resumed: bool) -> str:
    """What the run holds now; ``resumed``: some of its rows were read before the present snapshot."""
    if dialect != "postgresql" or wanted is Consistency.CHUNK:
        return PER_CHUNK
    if not resumed:
        return ONE_SNAPSHOT
    if wanted is Consistency.SNAPSHOT:
        return "one snapshot for all chunks of a table; tables done before a pause were read in an older"
    return "several snapshots: what was copied before a pause or loss was read in an older one"
