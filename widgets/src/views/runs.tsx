// The runs of a task, newest first.

import { useEffect } from "preact/hooks";
import * as format from "../format";
import type { RunSummary, TaskKind } from "../messages";
import type { Monitor } from "../monitor";
import type { Loadable } from "../state";
import { ErrorNotice } from "./notices";
import { StateMark } from "./state_mark";

export interface RunsProps {
  monitor: Monitor;
  taskId: string;
  kind: TaskKind;
  runs: Loadable<RunSummary[]>;
}

export function Runs({ monitor, taskId, kind, runs }: RunsProps) {
  // Another task has other runs.
  useEffect(() => void monitor.readRuns(), [monitor, taskId]);
  const isLoop = kind === "loop";
  return (
    <div class="sm-scroll" data-testid="runs">
      {runs.error && <ErrorNotice error={runs.error} testId="runs-error" />}
      {runs.value?.length === 0 && (
        <p class="sm-quiet sm-pad">
          {isLoop ? "No run yet." : "No run yet. Start makes the first one."}
        </p>
      )}
      {runs.value && runs.value.length > 0 && (
        <table class="sm-table">
          <thead>
            <tr>
              <th>State</th>
              <th>Started</th>
              <th class="sm-number">Took</th>
              <th class="sm-number">{isLoop ? "Iterations" : "Rows"}</th>
              {!isLoop && <th class="sm-number">Size</th>}
              <th class="sm-number">{isLoop ? "Per second" : "Rows/s"}</th>
              {!isLoop && <th class="sm-number">Tables</th>}
              <th>Error</th>
            </tr>
          </thead>
          <tbody>
            {runs.value.map((run) => (
              <RunRow key={run.run_id} run={run} isLoop={isLoop} />
            ))}
          </tbody>
        </table>
      )}
    </div>
  );
}

function RunRow({ run, isLoop }: { run: RunSummary; isLoop: boolean }) {
  const rate = run.elapsed_seconds > 0 ? run.rows_committed / run.elapsed_seconds : null;
  return (
    <tr data-testid={`run-${run.run_id}`}>
      <td>
        <StateMark state={run.state} />
      </td>
      <td title={format.exactTime(run.started_at)}>{format.dateTime(run.started_at)}</td>
      <td class="sm-number">{format.duration(run.elapsed_seconds)}</td>
      <td class="sm-number">{format.count(run.rows_committed)}</td>
      {!isLoop && <td class="sm-number">{format.bytes(run.bytes_committed)}</td>}
      <td class="sm-number">{rate === null ? "" : format.short(rate)}</td>
      {!isLoop && (
        <td class="sm-number">
          {format.count(run.completed_tables)} of {format.count(run.total_tables)}
          {run.failed_tables > 0 && `, ${format.count(run.failed_tables)} failed`}
        </td>
      )}
      <td class={run.error ? "sm-tone-bad" : ""}>{run.error}</td>
    </tr>
  );
}
