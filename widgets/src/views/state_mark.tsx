// A state as people see it: icon, word, colour.

import type { TaskState, UnitState } from "../messages";
import { type Look, STATE_LOOK } from "../states";

interface StateMarkProps {
  state: TaskState | UnitState;
  /** Where it looks otherwise than the state by itself. */
  look?: Look;
}

export function StateMark({ state, look = STATE_LOOK[state] }: StateMarkProps) {
  const { icon, word, tone } = look;
  return (
    <span class={`sm-state sm-tone-${tone}`} data-state={state}>
      <span class="sm-icon" aria-hidden="true">
        {icon}
      </span>
      {word}
    </span>
  );
}
