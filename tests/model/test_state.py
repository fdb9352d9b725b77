from __future__ import annotations

import itertools
import runpy
from pathlib import Path

import pytest

from syncmon_ext.model.state import (
    ACTIVE,
    COMMANDS,
    ENDED,
    RESUMABLE,
    TRANSITIONS,
    Action,
    State,
    allowed,
    next_state,
)

DOCS = Path(__file__).parents[2] / "docs"

# The promise of the documentation, pair by pair; what is not here is refused.
EXPECTED = {
    ("idle", "start"): "running",
    ("stopped", "start"): "running",
    ("completed", "start"): "running",
    ("paused", "start"): "running",
    ("failed", "start"): "running",
    ("interrupted", "start"): "running",
    ("running", "pause"): "pausing",
    ("interrupted", "pause"): "paused",
    ("running", "stop"): "stopping",
    ("pausing", "stop"): "stopping",
    ("paused", "stop"): "stopping",
    ("stopping", "stop"): "stopping",
    ("failed", "stop"): "stopping",
    ("interrupted", "stop"): "stopping",
    ("running", "drained"): "paused",
    ("pausing", "drained"): "paused",
    ("stopping", "drained"): "stopped",
    ("running", "complete"): "completed",
    ("pausing", "complete"): "completed",
    ("running", "fail"): "failed",
    ("pausing", "fail"): "failed",
    ("stopping", "fail"): "failed",
    ("interrupted", "fail"): "failed",
    ("running", "lose"): "interrupted",
    ("pausing", "lose"): "paused",
    ("interrupted", "take_over"): "running",
    ("stopping", "take_over"): "stopping",
}


@pytest.mark.parametrize(("state", "action"), list(itertools.product(State, Action)))
def test_every_pair_of_state_and_action_leads_where_it_must(state: State, action: Action) -> None:
    expected = EXPECTED.get((str(state), str(action)))
    assert next_state(state, action) == (None if expected is None else State(expected))


def test_commands_of_a_state_are_those_that_lead_somewhere() -> None:
    for state in State:
        leads = {a for a in COMMANDS if next_state(state, a) not in (None, state)}
        assert set(allowed(state)) == leads


def test_stop_is_refused_where_nothing_runs_alone() -> None:
    refused = {state for state in State if next_state(state, Action.STOP) is None}
    assert refused == {State.IDLE, State.STOPPED, State.COMPLETED}
    assert {s for s in State if next_state(s, Action.PAUSE)} == {State.RUNNING, State.INTERRUPTED}


def test_every_state_can_be_reached_and_left() -> None:
    reached = {target for moves in TRANSITIONS.values() for target in moves.values()}
    assert reached == set(State) - {State.IDLE}
    assert all(TRANSITIONS[state] for state in State)


def test_no_command_is_ever_left_without_an_answer() -> None:
    """From where a command led, facts alone lead on: nobody has to command twice."""
    for state, action in itertools.product(State, COMMANDS):
        led = next_state(state, action)
        if led in (State.PAUSING, State.STOPPING):
            facts = set(TRANSITIONS[led]) - COMMANDS
            assert Action.DRAINED in facts


def test_resumable_states_start_and_ended_ones_hold_no_worker() -> None:
    assert all(next_state(state, Action.START) is State.RUNNING for state in RESUMABLE | ENDED)
    assert not ENDED & ACTIVE


def test_diagram_in_the_docs_is_drawn_from_the_table() -> None:
    drawn = runpy.run_path(str(DOCS / "states.py"))["page"]()
    assert (DOCS / "states.md").read_text(encoding="utf-8") == drawn, "run python docs/states.py"
