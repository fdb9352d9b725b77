// The widget in a cell: a task's panel and curve, above it a list where there are several.

import { useEffect, useState } from "preact/hooks";
import type { Feeding, RelayReason } from "../feeding";
import { percent, plural, rate, short } from "../format";
import { writePlace } from "../links";
import type { Progress } from "../messages";
import type { Monitor } from "../monitor";
import { lookOf, nounOf, speedNow } from "../states";
import { Bar } from "./bar";
import { Chart } from "./chart";
import { speedOf } from "./facts";
import { useMonitorState } from "./hooks";
import { ErrorNotice, isStale, StaleNotice } from "./notices";
import { Panel } from "./panel";
import { StateMark } from "./state_mark";

export interface WidgetProps {
  monitor: Monitor;
  /** About one task: there is nothing to choose. */
  single: boolean;
  fedBy: Feeding["by"];
  reason: Feeding["reason"];
  watchBusy: Feeding["watchBusy"];
  /** What would hear a command while a cell runs; "" where this kernel should. */
  hearing: string;
  /** Where the whole page is; null where the browser does not reach it. */
  pageUrl: string | null;
  onChoose: (taskId: string) => void;
}

export function Widget(props: WidgetProps) {
  const { monitor, single, fedBy, reason, watchBusy, hearing, pageUrl, onChoose } = props;
  const state = useMonitorState(monitor);
  const [busy, setBusy] = useState(false);
  useEffect(() => watchBusy?.(setBusy), [watchBusy]);
  const { tasks, progress, selected, samples, connection, listError } = state;
  const listed = tasks?.map((task) => progress[task.task_id] ?? task.progress);
  const shown = listed ?? Object.values(progress);
  const chosen = selected === null ? undefined : progress[selected];
  const stale = isStale(connection);
  const noun = chosen ? nounOf(chosen) : undefined;
  const place = selected === null ? "" : writePlace({ taskId: selected, line: null });
  return (
    <div class={`sm-widget${stale ? " sm-stale" : ""}`} data-testid="widget">
      {!single && shown.length > 0 && (
        <div class="sm-widget-list" role="group" aria-label="Tasks">
          {shown.map((one) => (
            <TaskButton
              key={one.task_id}
              progress={one}
              chosen={one.task_id === selected}
              onChoose={() => onChoose(one.task_id)}
            />
          ))}
        </div>
      )}
      {selected === null ? (
        <Nothing empty={tasks?.length === 0} />
      ) : (
        <Panel
          key={selected}
          monitor={monitor}
          taskId={selected}
          pageUrl={pageUrl === null ? null : `${pageUrl}${place}`}
        />
      )}
      {selected === null && <StaleNotice connection={connection} />}
      {selected === null && listError && <ErrorNotice error={listError} testId="list-error" />}
      {samples.some(({ speed }) => speed !== null) && (
        <div class="sm-dims">
          <Chart
            title="Speed"
            samples={samples}
            measure={speedOf}
            words={(value) => rate(value, noun)}
            level={null}
            live={chosen !== undefined && speedNow(chosen) !== null}
            testId="chart-speed"
          />
        </div>
      )}
      {busy && (
        <p role="status" data-testid="kernel-busy">
          {busyWords(hearing)}
        </p>
      )}
      <p class="sm-quiet" data-testid="fed-by" data-by={fedBy}>
        {fedByWords(reason, stale)}
      </p>
    </div>
  );
}

const RELAYED: Readonly<Record<RelayReason, string>> = {
  // Whether this browser could reach one is not known: where a server has a password, it may well.
  no_server: "Relayed by the kernel, which works on the store itself, without a server.",
  elsewhere: "Relayed by the kernel: this page is not of the server that the kernel uses.",
  no_answer: "Relayed by the kernel: the server did not answer this browser.",
};

/** Why a command waits; `hearing` is what would hear it while a cell runs, "" where this kernel should. */
export function busyWords(hearing: string): string {
  const words = "The kernel is busy: it does what you pressed when the cell has ended.";
  return hearing ? `${words} ${hearing} would do it at once.` : words;
}

/** From where the news come; `reason` is why the kernel brings them. */
export function fedByWords(reason: RelayReason | null, stale: boolean): string {
  if (reason !== null) return RELAYED[reason];
  return stale
    ? "From the server, which does not answer now."
    : "Live from the server, also while the kernel is busy.";
}

interface TaskButtonProps {
  progress: Progress;
  chosen: boolean;
  onChoose: () => void;
}

function TaskButton({ progress, chosen, onChoose }: TaskButtonProps) {
  const { state, name, task_id: taskId, overall_progress: value } = progress;
  const speed = speedNow(progress);
  return (
    <button
      type="button"
      class="sm-widget-task"
      data-testid={`task-${taskId}`}
      aria-pressed={chosen}
      onClick={onChoose}
    >
      <StateMark state={state} look={lookOf(progress)} />
      <span class="sm-cut">{name || taskId}</span>
      <Bar
        value={value}
        state={state}
        label={`Progress of ${name || taskId}`}
        text={percent(value) || plural(progress.rows_committed, nounOf(progress))}
      />
      <span class="sm-number">{percent(value)}</span>
      <span
        class="sm-number sm-quiet sm-widget-speed"
        title={speed === null ? "" : rate(speed, nounOf(progress))}
      >
        {speed !== null ? `${short(speed)}/s` : ""}
      </span>
    </button>
  );
}

function Nothing({ empty }: { empty: boolean }) {
  if (!empty) return null;
  return (
    <p class="sm-quiet sm-pad">
      No tasks yet. The first one:{" "}
      <code>sm.create_task("nightly", source=…, target=…, tables=[…])</code>
    </p>
  );
}
