// The head of a task: its name, state and buttons, and one sentence that says it all.

import * as format from "../format";
import type { Progress, Task } from "../messages";
import type { Monitor } from "../monitor";
import { type Command, isActive, isStalled } from "../states";
import { Commands } from "./commands";
import { leftWords } from "./facts";
import { StateMark } from "./state_mark";

export interface HeaderProps {
  monitor: Monitor;
  task: Task | undefined;
  progress: Progress;
  pressed: Command | undefined;
  removed: boolean;
}

export function Header({ monitor, task, progress, pressed, removed }: HeaderProps) {
  return (
    <header class="sm-header">
      <h1 data-testid="task-name">{progress.name}</h1>
      <StateMark state={progress.state} />
      {!removed && (
        <Commands
          monitor={monitor}
          task={task}
          progress={progress}
          pressed={pressed}
          compact={false}
        />
      )}
      <p class="sm-sentence" data-testid="sentence">
        {sentence(task, progress)}
      </p>
    </header>
  );
}

/** "flights → warehouse" of a copy. */
export function route(task: Task | undefined): string {
  return task?.spec ? `${task.spec.source} → ${task.spec.target}` : "";
}

/** What, from where to where, how far, how long. */
export function sentence(task: Task | undefined, progress: Progress): string {
  return [what(task, progress), howFar(progress), howLong(progress)]
    .filter((part) => part !== "")
    .join(" ");
}

function what(task: Task | undefined, progress: Progress): string {
  if (progress.kind === "loop") return "A loop that reports itself.";
  const tables = format.plural(progress.total_tables || (task?.spec?.tables.length ?? 0), "table");
  if (!task?.spec) return `${tables}.`;
  const { source, target, mode } = task.spec;
  if (mode === "append") return `Appends ${tables} of ${source} to ${target}.`;
  return `Copies ${tables} from ${source} to ${target} (${mode}).`;
}

function howFar(progress: Progress): string {
  const { state, completed_tables: done, total_tables: all, failed_tables: failed } = progress;
  if (progress.kind === "loop") {
    const { current_table: note } = progress;
    return note === null ? "" : `At ${note}.`;
  }
  if (state === "idle" || all === 0) return "";
  const tables =
    done === all
      ? "All tables are in place"
      : `${format.count(done)} of ${format.count(all)} in place`;
  return `${tables}${failed > 0 ? `, ${format.count(failed)} failed` : ""}.`;
}

function howLong(progress: Progress): string {
  const { state, elapsed_seconds, finished_at } = progress;
  if (isActive(state)) {
    const left = isStalled(progress) ? null : leftWords(progress);
    return left ? `${left[0]?.toUpperCase()}${left.slice(1)}.` : "";
  }
  if (finished_at === null) return "";
  return `Took ${format.duration(elapsed_seconds)}, ended ${format.dateTime(finished_at)}.`;
}
