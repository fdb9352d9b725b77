"""A stopped run: how its units have ended, and what its log says of what stays in the target."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from syncmon_ext.model.state import UnitState
from syncmon_ext.model.unit import UnitRuntime
from syncmon_ext.sync.results import Discarded


def ended_units(
    stored: Iterable[UnitRuntime], known: Mapping[str, UnitRuntime]
) -> list[UnitRuntime]:
    """The ``stored`` units, as they are ``known`` to the worker: those that had not ended are stopped."""
    ended = []
    for unit in stored:
        runtime = known.get(unit.unit_id, unit)
        if runtime.state not in (UnitState.COMPLETED, UnitState.FAILED):
            runtime = msgspec.structs.replace(
                runtime, state=UnitState.STOPPED, speed=None, eta_seconds=None
            )
        ended.append(runtime)
    return ended


def said(ended: Iterable[UnitRuntime], discarded: Sequence[Discarded]) -> str:
    """The last message of the log: what was in place and stays, and what else stays."""
    kept = [unit.unit_id for unit in ended if unit.state is UnitState.COMPLETED]
    message = "stopped: no table was changed"
    if kept:
        stay = "stays" if len(kept) == 1 else "stay"
        message = f"stopped: {', '.join(kept)} had been put in place and {stay}"
    rows = {d.unit_id: d.rows_kept for d in discarded if d.kept and d.unit_id not in kept}
    for unit_id, count in rows.items():
        message += f"; {count:,} rows stay in {unit_id}, which was copied without staging"
    made = [d.unit_id for d in discarded if d.table_made]
    if made:
        message += f"; the table of {', '.join(made)} was made by this run and stays with its rows"
    return message
