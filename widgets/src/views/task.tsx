// One task, whole: head, bar, facts, charts, tabs and log.

import { useState } from "preact/hooks";
import * as format from "../format";
import type { HistorySample, Task as TaskMessage } from "../messages";
import type { Monitor } from "../monitor";
import { isRemoved, type State } from "../state";
import { nounOf, speedNow } from "../states";
import { Chart } from "./chart";
import { Facts, speedOf } from "./facts";
import { Header } from "./header";
import { Log } from "./log";
import { ErrorNotice, StaleNotice, StallNotice, WaitingNotice } from "./notices";
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
// A loop has no tables, and nothing plans it.
const LOOP_TABS = TABS.slice(3);

const doneOf = (sample: HistorySample) => sample.rows_committed;

type Tab = (typeof TABS)[number][0];

export interface TaskProps {
  monitor: Monitor;
  state: State;
  taskId: string;
}

export function Task({ monitor, state, taskId }: TaskProps) {
  const [tab, setTab] = useState<Tab>("tables");
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
  const removed = isRemoved(state, taskId);
  const noun = nounOf(progress);
  const tabs = progress.kind === "loop" ? LOOP_TABS : TABS;
  const shown = tabs.some(([name]) => name === tab) ? tab : "runs";
  const total = progress.rows_total_is_estimate ? null : progress.rows_total;
  return (
    <main class="sm-task" data-testid="task">
      <Header
        monitor={monitor}
        task={task}
        progress={progress}
        pressed={pressed[taskId]}
        removed={removed}
      />
      <div class="sm-notices">
        <StaleNotice connection={connection} />
        {!removed && refusal && (
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
        {!removed && <StallNotice progress={progress} />}
        {!removed && <WaitingNotice progress={progress} />}
      </div>
      <Overall progress={progress} />
      <Facts progress={progress} samples={null} />
      <div class="sm-charts sm-dims">
        <Chart
          title="Speed"
          samples={samples}
          measure={speedOf}
          words={(value) => format.rate(value, noun)}
          level={null}
          live={speedNow(progress) !== null}
          testId="chart-speed"
        />
        <Chart
          title={progress.kind === "loop" ? "Iterations" : "Rows committed"}
          samples={samples}
          measure={doneOf}
          words={(value) => format.plural(value, noun)}
          level={total}
          live
          testId="chart-rows"
        />
      </div>
      <Tabs tabs={tabs} current={shown} label="Views of the task" onChoose={setTab}>
        {shown === "tables" && <Tables key={taskId} monitor={monitor} progress={progress} />}
        {shown === "timeline" && <Timeline progress={progress} />}
        {shown === "plan" && <Plan monitor={monitor} taskId={taskId} plan={state.plan} />}
        {shown === "runs" && (
          <Runs monitor={monitor} taskId={taskId} kind={progress.kind} runs={state.runs} />
        )}
      </Tabs>
      <Log key={taskId} monitor={monitor} taskId={taskId} log={log} line={line} />
    </main>
  );
}

export function taskOf(state: State, taskId: string): TaskMessage | undefined {
  return state.tasks?.find(({ task_id }) => task_id === taskId);
}
