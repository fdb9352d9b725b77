// The list of tasks: a filter, and for each its state in icon and word, and how far it is.

import { useState } from "preact/hooks";
import { count, percent } from "../format";
import { writePlace } from "../links";
import type { ErrorBody, Progress, Task } from "../messages";
import { lookOf } from "../states";
import { ErrorNotice } from "./notices";
import { VirtualRows } from "./virtual";

export interface TaskListProps {
  tasks: readonly Task[];
  progress: Readonly<Record<string, Progress>>;
  selected: string | null;
  /** What is wrong with the file that defines the tasks. */
  error: ErrorBody | null;
}

const ROW_HEIGHT = () => 28;
const taskKey = (task: Task) => task.task_id;

export function TaskList({ tasks, progress, selected, error }: TaskListProps) {
  const [filter, setFilter] = useState("");
  const wanted = filter.trim().toLowerCase();
  const shown = tasks.filter((task) => {
    const { word } = lookOf(progress[task.task_id] ?? task.progress);
    return `${task.task_id} ${task.name} ${word}`.toLowerCase().includes(wanted);
  });
  return (
    <nav class="sm-list" aria-label="Tasks">
      <div class="sm-list-head">
        <h2>Tasks</h2>
        <input
          class="sm-input"
          type="search"
          placeholder="filter…"
          aria-label="Filter tasks by name or state"
          data-testid="task-filter"
          value={filter}
          onInput={(event) => setFilter(event.currentTarget.value)}
        />
      </div>
      {error && <ErrorNotice error={error} testId="configuration-error" />}
      <VirtualRows
        class="sm-list-rows"
        kind="list"
        data-testid="task-list"
        items={shown}
        heightOf={ROW_HEIGHT}
        keyOf={taskKey}
        row={(task) => (
          <TaskRow
            task={task}
            progress={progress[task.task_id] ?? task.progress}
            current={task.task_id === selected}
          />
        )}
      />
      {shown.length === 0 && <p class="sm-quiet sm-pad">No task matches “{filter}”.</p>}
    </nav>
  );
}

interface TaskRowProps {
  task: Task;
  progress: Progress;
  current: boolean;
}

function TaskRow({ task, progress, current }: TaskRowProps) {
  const { icon, word, tone } = lookOf(progress);
  return (
    <a
      class="sm-list-row"
      href={writePlace({ taskId: task.task_id, line: null })}
      aria-current={current ? "page" : undefined}
      data-testid={`task-${task.task_id}`}
      data-state={progress.state}
      title={`${task.name || task.task_id}: ${word}`}
    >
      <span class={`sm-icon sm-tone-${tone}`} aria-hidden="true">
        {icon}
      </span>
      <span class="sm-list-name">{task.name || task.task_id}</span>
      <span class={`sm-list-word sm-tone-${tone}`}>{word}</span>
      <span class="sm-list-far">{howFar(progress)}</span>
    </a>
  );
}

function howFar(progress: Progress): string {
  const { kind, state, failed_tables: failed, total_tables: all } = progress;
  if (kind === "copy" && failed > 0) return `${count(failed)} of ${count(all)}`;
  return state === "idle" ? "" : percent(progress.overall_progress);
}
