// The states: icon, word and colour of each, and what a person may do in it.

import type { Level, Progress, TaskState, UnitState } from "./messages";

export type Command = "start" | "pause" | "stop";
/** The colour families of the style sheet. */
export type Tone = "quiet" | "live" | "busy" | "held" | "good" | "bad";

export interface Look {
  icon: string;
  word: string;
  tone: Tone;
}

export const STATE_LOOK: Readonly<Record<TaskState | UnitState, Look>> = {
  idle: { icon: "○", word: "Idle", tone: "quiet" },
  pending: { icon: "○", word: "Waiting", tone: "quiet" },
  running: { icon: "●", word: "Running", tone: "live" },
  swapping: { icon: "◐", word: "Swapping", tone: "busy" },
  pausing: { icon: "◐", word: "Pausing…", tone: "busy" },
  paused: { icon: "‖", word: "Paused", tone: "held" },
  stopping: { icon: "◐", word: "Stopping…", tone: "busy" },
  stopped: { icon: "■", word: "Stopped", tone: "held" },
  completed: { icon: "✓", word: "Completed", tone: "good" },
  failed: { icon: "✕", word: "Failed", tone: "bad" },
  skipped: { icon: "✕", word: "Skipped", tone: "held" },
  interrupted: { icon: "⟳", word: "Interrupted", tone: "held" },
};

const STALLED: Look = { icon: "!", word: "Stalled", tone: "held" };
const NOT_BEGUN: Look = { ...STATE_LOOK.pending, word: "Not begun" };

export const LEVEL_LOOK: Readonly<Record<Level, Look>> = {
  info: { icon: "·", word: "info", tone: "quiet" },
  success: { icon: "✓", word: "success", tone: "good" },
  warning: { icon: "!", word: "warning", tone: "held" },
  error: { icon: "✕", word: "error", tone: "bad" },
};

const COMMANDS: Readonly<Record<TaskState, readonly Command[]>> = {
  idle: ["start"],
  running: ["pause", "stop"],
  pausing: ["stop"],
  paused: ["start", "stop"],
  stopping: [],
  stopped: ["start"],
  completed: ["start"],
  failed: ["start", "stop"],
  interrupted: ["start", "pause", "stop"],
};

const ACTIVE: ReadonlySet<TaskState> = new Set(["running", "pausing", "stopping", "interrupted"]);
const ENDED: ReadonlySet<TaskState> = new Set(["completed", "failed", "stopped"]);
const RESUMABLE: ReadonlySet<TaskState> = new Set(["paused", "failed", "interrupted"]);

export function allowed(progress: Progress): readonly Command[] {
  const commands = COMMANDS[progress.state];
  if (progress.kind === "copy" || progress.state === "paused") return commands;
  // A loop lives in its program: it can go on after a pause, nothing here can begin it or end it again.
  return hasEnded(progress) ? [] : commands.filter((command) => command !== "start");
}

/** Whether a press is something new: what is on its way already is not sent again, but a stop may overtake it. */
export function isNews(
  command: Command,
  progress: Progress,
  pressed: Command | undefined,
): boolean {
  if (pressed !== undefined && (command !== "stop" || pressed !== "pause")) return false;
  return allowed(progress).includes(command);
}

/** Whether a worker is at it, or somebody must take the run over: news are to be expected. */
export function isActive(state: TaskState): boolean {
  return ACTIVE.has(state);
}

/** Whether a run has come to its end: nothing of it is waited for. */
export function hasEnded({ state }: Progress): boolean {
  return ENDED.has(state);
}

/** Whether start goes on from the checkpoints, instead of beginning a run. */
export function isResumable(state: TaskState): boolean {
  return RESUMABLE.has(state);
}

/** What a task counts. */
export function nounOf({ kind }: Progress): string {
  return kind === "loop" ? "iteration" : "row";
}

export function isStalled({ state, stalled_seconds }: Progress): boolean {
  return state === "running" && stalled_seconds > 0;
}

/** What one glance at a task must tell: its state, or that it makes no headway in it. */
export function lookOf(progress: Progress): Look {
  return isStalled(progress) ? STALLED : STATE_LOOK[progress.state];
}

/** How a table of a run looks; what waits when the run has ended has not begun. */
export function unitLookOf(state: UnitState, run: Progress): Look {
  return state === "pending" && hasEnded(run) ? NOT_BEGUN : STATE_LOOK[state];
}

/** The speed that a person may take for true: none in a stall, and none where nothing moves. */
export function speedNow(progress: Progress): number | null {
  return isActive(progress.state) && !isStalled(progress) ? progress.speed : null;
}
