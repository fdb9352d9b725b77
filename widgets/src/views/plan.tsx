// The plan: per table how it will be copied, per column the types on both sides and what may be lost.

import { useEffect, useState } from "preact/hooks";
import * as format from "../format";
import type { Plan as PlanMessage, UnitPlan } from "../messages";
import type { Monitor } from "../monitor";
import type { Loadable } from "../state";
import { ErrorNotice } from "./notices";

export interface PlanProps {
  monitor: Monitor;
  taskId: string;
  plan: Loadable<PlanMessage>;
}

export function Plan({ monitor, taskId, plan }: PlanProps) {
  // Another task has another plan.
  useEffect(() => void monitor.readPlan(), [monitor, taskId]);
  return (
    <div class="sm-scroll" data-testid="plan">
      {plan.error && <ErrorNotice error={plan.error} testId="plan-error" />}
      {plan.value === null && plan.loading && (
        <p class="sm-quiet sm-pad">Reading the schemas of both databases…</p>
      )}
      {plan.value && (
        <>
          <p class="sm-pad">
            {plan.value.guarantee}; {plan.value.consistency}.
          </p>
          <table class="sm-table">
            <thead>
              <tr>
                <th>Order</th>
                <th>Table</th>
                <th class="sm-number">Rows</th>
                <th>Chunks</th>
                <th>Route</th>
                <th>Into place</th>
                <th>Columns</th>
              </tr>
            </thead>
            {plan.value.units.map((unit) => (
              <UnitPlanRows key={unit.unit_id} unit={unit} />
            ))}
          </table>
        </>
      )}
    </div>
  );
}

function UnitPlanRows({ unit }: { unit: UnitPlan }) {
  const lossy = unit.columns.filter((column) => column.lossy);
  const [open, setOpen] = useState(lossy.length > 0);
  const notes = [
    ...unit.errors.map((text) => ({ text, tone: "bad", icon: "✕" })),
    ...unit.warnings.map((text) => ({ text, tone: "held", icon: "!" })),
  ];
  return (
    <tbody data-testid={`plan-${unit.unit_id}`}>
      <tr>
        <td class="sm-number">{unit.ordinal + 1}</td>
        <td>
          {unit.source_table}
          {unit.target_table !== unit.source_table && (
            <span class="sm-quiet"> → {unit.target_table}</span>
          )}
          {unit.depends_on.length > 0 && (
            <span class="sm-quiet"> after {unit.depends_on.join(", ")}</span>
          )}
        </td>
        <td class="sm-number">
          {unit.rows_total === null
            ? "unknown"
            : format.total(unit.rows_total, unit.rows_total_is_estimate)}
        </td>
        <td>{chunkWords(unit)}</td>
        <td>{unit.route}</td>
        <td title={unit.swap_reason}>{unit.swap}</td>
        <td>
          <button type="button" class="sm-link" aria-expanded={open} onClick={() => setOpen(!open)}>
            {open ? "▾" : "▸"} {format.count(unit.columns.length)}
            {lossy.length > 0 && `, ${format.count(lossy.length)} lossy`}
            <span class="sm-hidden"> columns of {unit.source_table}</span>
          </button>
        </td>
      </tr>
      {notes.map(({ text, tone, icon }) => (
        <tr key={text}>
          <td />
          <td colSpan={6} class={`sm-tone-${tone}`}>
            {icon} {text}
          </td>
        </tr>
      ))}
      {open &&
        unit.columns.map((column) => (
          <tr key={column.name} class="sm-column-row">
            <td />
            <td>{column.name}</td>
            <td colSpan={2}>
              {column.source_type} → {column.target_type}
            </td>
            <td>{column.nullable ? "nullable" : "not null"}</td>
            <td colSpan={2} class={column.lossy ? "sm-tone-bad" : "sm-tone-good"}>
              {column.lossy ? `✕ lossy: ${column.reason}` : "✓ exact"}
            </td>
          </tr>
        ))}
    </tbody>
  );
}

function chunkWords({ chunk_method, key }: UnitPlan): string {
  if (chunk_method === "key") return `by ${key.join(", ")}`;
  return chunk_method === "whole" ? "one, whole" : `by ${chunk_method}`;
}
