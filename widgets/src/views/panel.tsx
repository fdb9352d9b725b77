// The compact panel of a cell: a task in four lines, tables and log on demand.

import { useState } from "preact/hooks";
import * as format from "../format";
import type { LogEntry, Progress, UnitState } from "../messages";
import type { Monitor } from "../monitor";
import { isRemoved } from "../state";
import { hasEnded, LEVEL_LOOK } from "../states";
import { Bar } from "./bar";
import { Commands } from "./commands";
import { Facts } from "./facts";
import { route } from "./header";
import { useMonitorState } from "./hooks";
import { Log } from "./log";
import { ErrorNotice, isStale, StaleNotice, StallNotice, WaitingNotice } from "./notices";
import { Overall } from "./overall";
import { StateMark } from "./state_mark";
import { countStates, Tables } from "./tables";
import { taskOf } from "./task";

export interface PanelProps {
  monitor: Monitor;
  taskId: string;
  /** Where the whole page shows this task; null where this browser does not reach it. */
  pageUrl: string | null;
}

export function Panel({ monitor, taskId, pageUrl }: PanelProps) {
  const state = useMonitorState(monitor);
  const [open, setOpen] = useState({ tables: false, log: false });
  const { connection, log, line, samples, pressed, refusals, selectError, listError } = state;
  const progress = state.progress[taskId];
  const refusal = refusals[taskId];
  if (!progress) {
    const error = selectError ?? listError;
    return (
      <main class="sm-panel" data-testid="panel">
        {error ? (
          <ErrorNotice error={error} testId="select-error" />
        ) : (
          <StaleNotice connection={connection} />
        )}
      </main>
    );
  }
  const task = taskOf(state, taskId);
  const removed = isRemoved(state, taskId);
  const stale = removed || isStale(connection);
  return (
    <main class={`sm-panel${stale ? " sm-stale" : ""}`} data-testid="panel">
      <header class="sm-panel-head">
        <StateMark state={progress.state} />
        <h1>{progress.name}</h1>
        <span class="sm-quiet sm-cut">{route(task)}</span>
        {!removed && (
          <Commands
            monitor={monitor}
            task={task}
            progress={progress}
            pressed={pressed[taskId]}
            compact
          />
        )}
        {!removed && pageUrl !== null && (
          <a
            class="sm-button sm-button-small"
            href={pageUrl}
            target="_blank"
            rel="noopener"
            aria-label={`Open ${progress.name} on the page`}
            title="Open on the page"
          >
            ⤢
          </a>
        )}
      </header>
      <Overall progress={progress} />
      <Facts progress={progress} samples={samples} />
      {selectError && <ErrorNotice error={selectError} testId="select-error" />}
      {!removed && <StaleNotice connection={connection} />}
      {!removed && refusal && (
        <ErrorNotice
          error={refusal}
          testId="refusal"
          onClose={() => monitor.closeRefusal(taskId)}
        />
      )}
      {progress.error && (
        <ErrorNotice
          error={{ message: progress.error, hint: progress.hint ?? "" }}
          testId="run-error"
        />
      )}
      {!removed && <StallNotice progress={progress} />}
      {!removed && <WaitingNotice progress={progress} />}
      {progress.kind === "copy" && (
        <div class="sm-fold">
          <button
            type="button"
            class="sm-fold-button"
            data-testid="fold-tables"
            aria-expanded={open.tables}
            onClick={() => setOpen({ ...open, tables: !open.tables })}
          >
            {open.tables ? "▾" : "▸"} {tablesWords(progress)}
          </button>
          {!open.tables && <Current progress={progress} />}
        </div>
      )}
      {progress.kind === "loop" && progress.current_table !== null && (
        <p class="sm-quiet sm-cut sm-note" data-testid="note" title={progress.current_table}>
          {progress.current_table}
        </p>
      )}
      {progress.kind === "copy" && open.tables && (
        <div class="sm-panel-tables">
          <Tables monitor={monitor} progress={progress} />
        </div>
      )}
      <div class="sm-fold">
        <button
          type="button"
          class="sm-fold-button"
          data-testid="fold-log"
          aria-expanded={open.log}
          onClick={() => setOpen({ ...open, log: !open.log })}
        >
          {open.log ? "▾" : "▸"} log
        </button>
        {!open.log && <LastEntry entry={log.entries.at(-1)} />}
      </div>
      {open.log && (
        <div class="sm-panel-log">
          <Log monitor={monitor} taskId={taskId} log={log} line={line} />
        </div>
      )}
    </main>
  );
}

function Current({ progress }: { progress: Progress }) {
  const { current_table: table, current_table_progress: value } = progress;
  if (table === null) return null;
  return (
    <span class="sm-current sm-dims">
      <span class="sm-cut">{table}</span>
      <Bar
        value={value}
        state={progress.state}
        label={`Progress of ${table}`}
        text={format.percent(value) || "total unknown"}
      />
      <span class="sm-number">{format.percent(value)}</span>
    </span>
  );
}

function LastEntry({ entry }: { entry: LogEntry | undefined }) {
  if (!entry) return null;
  const { icon, word, tone } = LEVEL_LOOK[entry.level];
  return (
    <span class="sm-last sm-cut" data-testid="last-entry" title={entry.message}>
      {format.clock(entry.time)}{" "}
      <span class={`sm-tone-${tone}`} role="img" aria-label={word}>
        {icon}
      </span>{" "}
      {entry.unit && !entry.message.startsWith(`${entry.unit}:`) && `${entry.unit}: `}
      {entry.message}
    </span>
  );
}

const WORDS: readonly [UnitState, string][] = [
  ["completed", "done"],
  ["swapping", "swapping"],
  ["running", "running"],
  ["paused", "paused"],
  ["interrupted", "interrupted"],
  ["pending", "waiting"],
  ["failed", "failed"],
  ["skipped", "skipped"],
  ["stopped", "stopped"],
];

/** "5 tables: 3 done, 1 running, 1 waiting"; what waits when the run has ended has not begun. */
export function tablesWords(progress: Progress): string {
  const counts = countStates(progress.units);
  const parts = WORDS.flatMap(([state, word]) => {
    const number = counts.get(state);
    const said = state === "pending" && hasEnded(progress) ? "not begun" : word;
    return number ? [`${format.count(number)} ${said}`] : [];
  });
  const tables = format.plural(progress.total_tables, "table");
  return parts.length > 0 ? `${tables}: ${parts.join(", ")}` : tables;
}
