// A progress bar: how far, or only that something moves where the total is unknown.

import type { TaskState, UnitState } from "../messages";
import { STATE_LOOK } from "../states";

export interface BarProps {
  /** 0-100; null where the total is unknown. */
  value: number | null;
  state: TaskState | UnitState;
  label: string;
  /** What a screen reader says in place of the number. */
  text: string;
}

export function Bar({ value, state, label, text }: BarProps) {
  const { tone } = STATE_LOOK[state];
  const known = value !== null;
  const moving = tone === "live" || tone === "busy";
  return (
    <div
      class={`sm-bar sm-tone-${tone}${known || !moving ? "" : " sm-bar-unknown"}`}
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuetext={text}
      {...(known ? { "aria-valuenow": Math.floor(value * 10) / 10 } : {})}
    >
      <div class="sm-bar-fill" style={known || !moving ? { width: `${value ?? 0}%` } : {}} />
    </div>
  );
}
