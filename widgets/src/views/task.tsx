// One task, whole: head, bar, facts, charts, tabs and log.

import { useState } from "preact/hooks";
import * as format from "../format";
import type { HistorySample, Task as TaskMessage } from "../messages";
import type { Monitor } from "../monitor";
import type { State } from "../state";
import { Chart } from "./chart";
import { Facts, speedOf } from "./facts";
import { Header } from "./header";
import { Log } from "./log";
import { ErrorNotice, isStale, StaleNotice, StallNotice, WaitingNotice } from "./notices";
import { Overall } from "./overall";
import { Plan } from "./plan";
import { Runs } from "./runs";
import { Tables } from "./tables";
import { Tabs } from "./tabs";
import { Timeline } from "./timeline";

const TABS = [
  ["tables", "Tables"],
  ["timeline", "Timeline"],
  ["plan", "Plan"],
  ["runs", "Runs"],
] as const;

const rowsOf = (sample: HistorySample) => sample.rows_committed;
const rateWords = (value: number) => `${format.short(value)} rows/s`;
const rowsWords = (value: number) => format.plural(value, "row");

export interface TaskProps {
  monitor: Monitor;
  state: State;
  taskId: string;
}

export function Task({ monitor, state, taskId }: TaskProps) {
  const [tab, setTab] = useState<(typeof TABS)[number][0]>("tables");
  const { connection, log, line, samples, pressed, refusals, selectError } = state;
  const task = taskOf(state, taskId);
  const progress = state.progress[taskId];
  const refusal = refusals[taskId];
  if (!progress) {
    return (
      <main class="sm-task">
        {selectError ? (
          <ErrorNotice error={selectError} testId="select-error" />
        ) : (
          <StaleNotice connection={connection} />
        )}
      </main>
    );
  }
  const total = progress.rows_total_is_estimate ? null : progress.rows_total;
  return (
    <main class={`sm-task${isStale(connection) ? " sm-stale" : ""}`} data-testid="task">
      <Header monitor={monitor} task={task} progress={progress} pressed={pressed[taskId]} />
      <div class="sm-notices">
        <StaleNotice connection={connection} />
        {refusal && (
          <ErrorNotice
            error={refusal}
            testId="refusal"
            onClose={() => monitor.closeRefusal(taskId)}
          />
        )}
        {selectError && <ErrorNotice error={selectError} testId="select-error" />}
        {progress.error && (
          <ErrorNotice
            error={{ message: progress.error, hint: progress.hint ?? "" }}
            testId="run-error"
          />
        )}
        <StallNotice progress={progress} />
        <WaitingNotice progress={progress} />
      </div>
      <Overall progress={progress} />
      <Facts progress={progress} samples={null} />
      <div class="sm-charts sm-dims">
        <Chart
          title="Speed"
          samples={samples}
          measure={speedOf}
          words={rateWords}
          level={null}
          testId="chart-speed"
        />
        <Chart
          title="Rows committed"
          samples={samples}
          measure={rowsOf}
          words={rowsWords}
          level={total}
          testId="chart-rows"
        />
      </div>
      <Tabs tabs={TABS} current={tab} label="Views of the task" onChoose={setTab}>
        {tab === "tables" && <Tables key={taskId} monitor={monitor} progress={progress} />}
        {tab === "timeline" && <Timeline progress={progress} />}
        {tab === "plan" && <Plan monitor={monitor} taskId={taskId} plan={state.plan} />}
        {tab === "runs" && <Runs monitor={monitor} taskId={taskId} runs={state.runs} />}
      </Tabs>
      <Log key={taskId} monitor={monitor} taskId={taskId} log={log} line={line} />
    </main>
  );
}

export function taskOf(state: State, taskId: string): TaskMessage | undefined {
  return state.tasks?.find(({ task_id }) => task_id === taskId);
}
