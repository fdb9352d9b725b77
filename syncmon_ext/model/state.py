"""The states of runs and units, and the table of transitions between them.

Control is this table and nothing else: the services look an action up in it, the docs' diagram is
drawn from it, and a pair that is missing is refused.
"""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Final


class State(StrEnum):
    """The state of a run; a task shows the state of its newest run, or ``idle``."""

    IDLE = "idle"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    STOPPING = "stopping"
    STOPPED = "stopped"
    COMPLETED = "completed"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class UnitState(StrEnum):
    """The state of one table of a run."""

    PENDING = "pending"
    RUNNING = "running"
    SWAPPING = "swapping"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"
    SKIPPED = "skipped"


class Action(StrEnum):
    """What moves a run from one state to another: a person's command, or a fact about its worker."""

    START = "start"
    PAUSE = "pause"
    STOP = "stop"
    # facts, reported by a worker or by whoever watches its lease
    DRAINED = "drained"  # nothing is in flight any more
    COMPLETE = "complete"
    FAIL = "fail"
    LOSE = "lose"  # the worker is dead
    TAKE_OVER = "take_over"  # a new worker goes on


COMMANDS: Final = frozenset({Action.START, Action.PAUSE, Action.STOP})

_S, _A = State, Action

# A pause that was asked for survives the death of the worker, and so does a stop: resuming a run that
# its owner had told to pause would break the promise of the acknowledgement.
TRANSITIONS: Final = MappingProxyType(
    {
        _S.IDLE: {_A.START: _S.RUNNING},
        _S.RUNNING: {
            _A.PAUSE: _S.PAUSING,
            _A.STOP: _S.STOPPING,
            _A.COMPLETE: _S.COMPLETED,
            _A.FAIL: _S.FAILED,
            _A.LOSE: _S.INTERRUPTED,
            # A worker that cannot go on by no fault of the data (a secret that is missing, SIGTERM)
            # pauses itself.
            _A.DRAINED: _S.PAUSED,
        },
        _S.PAUSING: {
            _A.STOP: _S.STOPPING,
            _A.DRAINED: _S.PAUSED,
            _A.COMPLETE: _S.COMPLETED,
            _A.FAIL: _S.FAILED,
            _A.LOSE: _S.PAUSED,
        },
        _S.PAUSED: {_A.START: _S.RUNNING, _A.STOP: _S.STOPPING},
        _S.STOPPING: {
            _A.STOP: _S.STOPPING,  # two people press it: the second is right as well
            _A.DRAINED: _S.STOPPED,
            _A.FAIL: _S.FAILED,
            _A.TAKE_OVER: _S.STOPPING,
        },
        _S.STOPPED: {_A.START: _S.RUNNING},
        _S.COMPLETED: {_A.START: _S.RUNNING},
        _S.FAILED: {_A.START: _S.RUNNING, _A.STOP: _S.STOPPING},
        _S.INTERRUPTED: {
            _A.START: _S.RUNNING,
            _A.TAKE_OVER: _S.RUNNING,
            _A.PAUSE: _S.PAUSED,
            _A.STOP: _S.STOPPING,
            _A.FAIL: _S.FAILED,
        },
    }
)

# A worker holds the run's lease in these states, or somebody must take the run over.
ACTIVE: Final = frozenset({_S.RUNNING, _S.PAUSING, _S.STOPPING, _S.INTERRUPTED})
# A single-task stream ends on these.
ENDED: Final = frozenset({_S.COMPLETED, _S.FAILED, _S.STOPPED})
# `start` goes on from the checkpoints of these; from any other state it begins a new run.
RESUMABLE: Final = frozenset({_S.PAUSED, _S.FAILED, _S.INTERRUPTED})

UNIT_ENDED: Final = frozenset(
    {UnitState.COMPLETED, UnitState.FAILED, UnitState.STOPPED, UnitState.SKIPPED}
)


def next_state(state: State, action: Action) -> State | None:
    """The state that ``action`` leads to from ``state``; None where it is not allowed."""
    return TRANSITIONS[state].get(action)


def allowed(state: State) -> tuple[Action, ...]:
    """The commands that change something in ``state``, in a fixed order."""
    return tuple(
        a for a in Action if a in COMMANDS and TRANSITIONS[state].get(a, state) is not state
    )
