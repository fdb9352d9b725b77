// The page: the list of tasks on the left, the task that is chosen on the right.

import { useEffect } from "preact/hooks";
import { percent } from "../format";
import type { Monitor } from "../monitor";
import type { State } from "../state";
import { lookOf } from "../states";
import { NoneSelected, NoTasks } from "./empty";
import { useMonitorState } from "./hooks";
import { ErrorNotice, isStale, StaleNotice } from "./notices";
import { Task, taskOf } from "./task";
import { TaskList } from "./task_list";

export function Page({ monitor }: { monitor: Monitor }) {
  const state = useMonitorState(monitor);
  const { tasks, listError, configurationError, selected, progress, connection } = state;
  const title = titleOf(state);
  useEffect(() => {
    document.title = title;
  }, [title]);
  if (tasks === null) {
    return (
      <main class="sm-page sm-pad">
        {listError ? (
          <ErrorNotice error={listError} testId="list-error" />
        ) : (
          <StaleNotice connection={connection} />
        )}
      </main>
    );
  }
  if (tasks.length === 0 && selected === null) {
    return (
      <main class="sm-page">
        {configurationError && (
          <ErrorNotice error={configurationError} testId="configuration-error" />
        )}
        <NoTasks />
      </main>
    );
  }
  return (
    <div class={`sm-page${isStale(connection) ? " sm-stale" : ""}`}>
      <TaskList tasks={tasks} progress={progress} selected={selected} error={configurationError} />
      {selected === null ? (
        <NoneSelected />
      ) : (
        <Task monitor={monitor} state={state} taskId={selected} />
      )}
      <p class="sm-hidden" role="status" data-testid="announcement">
        {announcement(state)}
      </p>
    </div>
  );
}

function titleOf(state: State): string {
  const { selected } = state;
  const progress = selected === null ? undefined : state.progress[selected];
  if (!progress) return "syncmon";
  const { icon } = lookOf(progress);
  const far = progress.state === "idle" ? "" : percent(progress.overall_progress);
  return `${[icon, far, progress.name].filter(Boolean).join(" ")} – syncmon`;
}

/** What a screen reader hears when the state changes: not every number that moves. */
function announcement(state: State): string {
  const { selected } = state;
  const progress = selected === null ? undefined : state.progress[selected];
  if (!progress) return "";
  const name = taskOf(state, progress.task_id)?.name || progress.name;
  return `${name}: ${lookOf(progress).word}`;
}
