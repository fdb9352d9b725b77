// The overall bar with its percentage and rows.

import * as format from "../format";
import type { Progress } from "../messages";
import { isActive, nounOf } from "../states";
import { Bar } from "./bar";

export function Overall({ progress }: { progress: Progress }) {
  const { overall_progress, rows_committed, rows_total, rows_total_is_estimate } = progress;
  const noun = nounOf(progress);
  const rows =
    progress.state === "completed"
      ? format.plural(rows_committed, noun)
      : format.countOf(rows_committed, rows_total, rows_total_is_estimate, noun);
  const known = progress.state === "idle" ? 0 : overall_progress;
  return (
    <div class="sm-overall sm-dims">
      <Bar
        value={known}
        state={progress.state}
        label={`Progress of ${progress.name}`}
        text={`${format.percent(known)} ${rows}`.trim()}
      />
      <span class="sm-percent" data-testid="percent" title={exactPercent(known)}>
        {known === null && isActive(progress.state) ? "unknown" : format.percent(known)}
      </span>
      <span class="sm-rows" data-testid="rows">
        {progress.run_id === null ? "not started" : rows}
      </span>
    </div>
  );
}

function exactPercent(value: number | null): string {
  return value === null ? "the total is not known yet" : `${value.toFixed(2)} %`;
}
