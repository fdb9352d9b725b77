// A state as people see it: icon, word, colour.

import type { TaskState, UnitState } from "../messages";
import { STATE_LOOK } from "../states";

export function StateMark({ state }: { state: TaskState | UnitState }) {
  const { icon, word, tone } = STATE_LOOK[state];
  return (
    <span class={`sm-state sm-tone-${tone}`} data-state={state}>
      <span class="sm-icon" aria-hidden="true">
        {icon}
      </span>
      {word}
    </span>
  );
}
