"""Draws docs/states.md from the transition table: ``python docs/states.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from syncmon_ext.model.state import ACTIVE, COMMANDS, ENDED, RESUMABLE, TRANSITIONS, State, allowed

PAGE: Final = Path(__file__).with_name("states.md")

HEAD: Final = """\
# The states of a run

Drawn from `TRANSITIONS` in `syncmon_ext/model/state.py` by `python docs/states.py`; a test keeps the two
equal. A task shows the state of its newest run, or `idle` before the first one.

What a person commands is in **capitals**, the rest are facts that a worker, or whoever watches it,
reports.
"""

FACTS: Final = """\
| fact | means |
|---|---|
| drained | nothing is in flight any more |
| complete | every table is in place |
| fail | the run cannot go on by itself |
| lose | the worker is dead |
| take over | a new worker goes on |
"""


def page() -> str:
    """The page as it must be."""
    return "\n".join([HEAD, diagram(), commands(), FACTS])


def diagram() -> str:
    """A Mermaid state diagram: an arrow for each pair of the table."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {State.IDLE}"]
    for state, moves in TRANSITIONS.items():
        for action, target in moves.items():
            word = action.replace("_", " ")
            label = word.upper() if action in COMMANDS else word
            lines.append(f"    {state} --> {target}: {label}")
    return "\n".join([*lines, "```", ""])


def commands() -> str:
    """A table: what may be commanded in each state, and what the state means."""
    lines = ["| state | commands | |", "|---|---|---|"]
    for state in State:
        notes = [
            note
            for note, states in (
                ("a worker holds it, or it must be taken over", ACTIVE),
                ("start goes on from the checkpoints", RESUMABLE),
                ("a single-task stream ends", ENDED),
            )
            if state in states
        ]
        lines.append(f"| {state} | {', '.join(allowed(state))} | {'; '.join(notes)} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
