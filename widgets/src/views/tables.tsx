// The tables of a run, one row each; what failed says why in its row.

import type { ComponentChildren } from "preact";
import { useMemo, useState } from "preact/hooks";
import * as format from "../format";
import type { Progress, UnitProgress, UnitState } from "../messages";
import type { Monitor } from "../monitor";
import { unitLookOf } from "../states";
import { Bar } from "./bar";
import { StateMark } from "./state_mark";
import { VirtualRows } from "./virtual";

type Item = { unit: UnitProgress; detail: boolean };

const heightOf = ({ unit, detail }: Item) => (detail ? errorHeight(unit) : 28);
const keyOf = ({ unit, detail }: Item) => `${unit.unit_id}${detail ? " error" : ""}`;
// What needs attention comes first, then what moves.
const ORDER: readonly UnitState[] = [
  "failed",
  "skipped",
  "interrupted",
  "swapping",
  "running",
  "paused",
  "stopped",
  "pending",
  "completed",
];

export interface TablesProps {
  monitor: Monitor;
  progress: Progress;
}

export function Tables({ monitor, progress }: TablesProps) {
  const [only, setOnly] = useState<UnitState | null>(null);
  const counts = useMemo(() => countStates(progress.units), [progress.units]);
  const chosen = only !== null && counts.has(only) ? only : null;
  const items = useMemo(() => itemsOf(progress.units, chosen), [progress.units, chosen]);
  return (
    <div class="sm-tables">
      <div class="sm-chips" role="group" aria-label="Show tables">
        <Chip pressed={chosen === null} onPress={() => setOnly(null)}>
          {format.plural(progress.units.length, "table")}
        </Chip>
        {ORDER.filter((state) => counts.has(state)).map((state) => {
          const { icon, word, tone } = unitLookOf(state, progress);
          return (
            <Chip key={state} pressed={chosen === state} onPress={() => setOnly(state)}>
              <span class={`sm-tone-${tone}`} aria-hidden="true">
                {icon}
              </span>{" "}
              {format.count(counts.get(state) ?? 0)} {word.toLowerCase()}
            </Chip>
          );
        })}
      </div>
      <VirtualRows
        class="sm-grid sm-grid-tables"
        kind="table"
        role="table"
        aria-label="Tables"
        aria-rowcount={items.length + 1}
        tabIndex={0}
        data-testid="tables"
        items={items}
        heightOf={heightOf}
        keyOf={keyOf}
        head={<TablesHead />}
        row={(item, index) =>
          item.detail ? (
            <UnitError unit={item.unit} monitor={monitor} rowIndex={index + 2} />
          ) : (
            <UnitRow unit={item.unit} run={progress} rowIndex={index + 2} />
          )
        }
      />
    </div>
  );
}

interface ChipProps {
  pressed: boolean;
  onPress: () => void;
  children: ComponentChildren;
}

function Chip({ pressed, onPress, children }: ChipProps) {
  return (
    <button type="button" class="sm-chip" aria-pressed={pressed} onClick={onPress}>
      {children}
    </button>
  );
}

function TablesHead() {
  return (
    <div class="sm-row sm-row-head" role="row">
      <span role="columnheader">State</span>
      <span role="columnheader">Table</span>
      <span role="columnheader">Progress</span>
      <span role="columnheader" class="sm-number">
        Rows
      </span>
      <span role="columnheader" class="sm-number">
        Rows/s
      </span>
      <span role="columnheader" class="sm-number">
        Left
      </span>
      <span role="columnheader" class="sm-number">
        Chunks
      </span>
    </div>
  );
}

interface UnitRowProps {
  unit: UnitProgress;
  run: Progress;
  rowIndex: number;
}

function UnitRow({ unit, run, rowIndex }: UnitRowProps) {
  const moving = unit.state === "running" || unit.state === "swapping";
  const waiting = unit.state === "pending" && unit.progress === null;
  const rows = format.countOf(unit.rows_committed, unit.rows_total, unit.rows_total_is_estimate);
  return (
    <div
      class="sm-row"
      role="row"
      aria-rowindex={rowIndex}
      data-testid={`unit-${unit.unit_id}`}
      data-state={unit.state}
    >
      <span role="cell">
        <StateMark state={unit.state} look={unitLookOf(unit.state, run)} />
      </span>
      <span role="cell" class="sm-cut" title={tableNames(unit)}>
        {unit.table}
        {unit.target_table !== unit.table && <span class="sm-quiet"> → {unit.target_table}</span>}
      </span>
      <span role="cell" class="sm-cell-bar">
        <Bar
          value={waiting ? 0 : unit.progress}
          state={unit.state}
          label={`Progress of ${unit.table}`}
          text={`${format.percent(unit.progress)} ${rows}`.trim()}
        />
        <span class="sm-number">{format.percent(unit.progress)}</span>
      </span>
      <span role="cell" class="sm-number sm-cut" title={rows}>
        {unit.state === "completed"
          ? format.count(unit.rows_committed)
          : rows.replace(/ rows?$/, "")}
      </span>
      <span role="cell" class="sm-number">
        {moving && unit.speed ? format.short(unit.speed) : ""}
      </span>
      <span
        role="cell"
        class="sm-number"
        title={unit.eta_seconds === null ? "" : format.duration(unit.eta_seconds)}
      >
        {moving && unit.eta_seconds !== null
          ? format.durationRange(unit.eta_seconds, unit.eta_seconds)
          : ""}
      </span>
      <span role="cell" class="sm-number" title={unit.attempt > 1 ? `attempt ${unit.attempt}` : ""}>
        {chunks(unit)}
      </span>
    </div>
  );
}

interface UnitErrorProps {
  unit: UnitProgress;
  monitor: Monitor;
  rowIndex: number;
}

function UnitError({ unit, monitor, rowIndex }: UnitErrorProps) {
  return (
    <div class="sm-row-error" role="row" aria-rowindex={rowIndex}>
      <div role="cell" class="sm-error-cell" data-testid={`unit-error-${unit.unit_id}`}>
        <span class="sm-error-message sm-tone-bad" title={unit.error ?? ""}>
          {unit.error}
        </span>
        <span class="sm-error-more">
          {unit.hint && (
            <span class="sm-cut" title={unit.hint}>
              {unit.hint}
            </span>
          )}
          <button
            type="button"
            class="sm-link"
            onClick={() => void monitor.showErrorOf(unit.unit_id)}
          >
            in the log<span class="sm-hidden">: the error of {unit.table}</span>
          </button>
        </span>
      </div>
    </div>
  );
}

/** Room for the remedy below a message of one line, or of two where it is long. */
function errorHeight({ error }: UnitProgress): number {
  return (error?.length ?? 0) > 96 ? 68 : 48;
}

/** How many units are in each state. */
export function countStates(units: readonly UnitProgress[]): Map<UnitState, number> {
  const counts = new Map<UnitState, number>();
  for (const { state } of units) counts.set(state, (counts.get(state) ?? 0) + 1);
  return counts;
}

function itemsOf(units: readonly UnitProgress[], only: UnitState | null): Item[] {
  const shown = units.filter(({ state }) => only === null || state === only);
  return shown.flatMap((unit): Item[] => {
    const row = { unit, detail: false };
    return unit.error ? [row, { unit, detail: true }] : [row];
  });
}

function tableNames({ table, target_table }: UnitProgress): string {
  return table === target_table ? table : `${table} → ${target_table}`;
}

function chunks({ chunks_committed: done, chunks_total: all }: UnitProgress): string {
  if (all === null) return done > 0 ? format.count(done) : "";
  return `${format.count(done)} of ${format.count(all)}`;
}
