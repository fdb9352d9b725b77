// When each table of the run was copied: one bar a table on the run's own time axis.

import { useMemo } from "preact/hooks";
import * as format from "../format";
import type { Progress, UnitProgress } from "../messages";
import { STATE_LOOK } from "../states";
import { VirtualRows } from "./virtual";

const rowHeight = () => 28;
const keyOf = (unit: UnitProgress) => unit.unit_id;

export function Timeline({ progress }: { progress: Progress }) {
  const started = useMemo(
    () =>
      progress.units
        .filter((unit) => unit.started_at !== null)
        .sort((a, b) => Date.parse(a.started_at ?? "") - Date.parse(b.started_at ?? "")),
    [progress.units],
  );
  if (started.length === 0) return <p class="sm-quiet sm-pad">No table has begun yet.</p>;
  const from = Date.parse(progress.started_at ?? started[0]?.started_at ?? "");
  const end = progress.finished_at ?? progress.updated_at;
  const to = Math.max(end === null ? from : Date.parse(end), from + 1000);
  return (
    <VirtualRows
      class="sm-grid sm-grid-timeline"
      kind="table"
      role="table"
      aria-label="Timeline"
      aria-rowcount={started.length + 1}
      tabIndex={0}
      data-testid="timeline"
      items={started}
      heightOf={rowHeight}
      keyOf={keyOf}
      head={
        <div class="sm-row sm-row-head" role="row">
          <span role="columnheader">Table</span>
          <span role="columnheader" class="sm-timeline-axis">
            <span>{format.clock(from)}</span>
            <span>{format.clock(to)}</span>
          </span>
          <span role="columnheader" class="sm-number">
            Took
          </span>
        </div>
      }
      row={(unit, index) => <UnitSpan unit={unit} from={from} to={to} rowIndex={index + 2} />}
    />
  );
}

interface UnitSpanProps {
  unit: UnitProgress;
  from: number;
  to: number;
  rowIndex: number;
}

function UnitSpan({ unit, from, to, rowIndex }: UnitSpanProps) {
  const begin = Date.parse(unit.started_at ?? "");
  const end = unit.finished_at === null ? to : Date.parse(unit.finished_at);
  const left = (100 * (begin - from)) / (to - from);
  const width = (100 * (end - begin)) / (to - from);
  const { icon, word, tone } = STATE_LOOK[unit.state];
  return (
    <div class="sm-row" role="row" aria-rowindex={rowIndex}>
      <span role="cell" class="sm-cut" title={unit.table}>
        <span class={`sm-icon sm-tone-${tone}`} role="img" aria-label={word}>
          {icon}
        </span>
        {unit.table}
      </span>
      <span
        role="cell"
        class="sm-timeline-cell"
        title={`${format.clock(begin)} to ${unit.finished_at ? format.clock(end) : "now"}`}
      >
        <span
          class={`sm-timeline-bar sm-tone-${tone}`}
          style={{ left: `${left}%`, width: `max(2px, ${width}%)` }}
        />
      </span>
      <span role="cell" class="sm-number">
        {format.duration((end - begin) / 1000)}
      </span>
    </div>
  );
}
