// Rows that exist only while they are in sight.

import type { ComponentChildren, HTMLAttributes } from "preact";
import { useMemo, useState } from "preact/hooks";
import { useSize } from "./hooks";

const OVERSCAN_PX = 280;

/** Where each row begins, and in the last place where all end. */
export function offsets(count: number, heightOf: (index: number) => number): Float64Array {
  const result = new Float64Array(count + 1);
  for (let index = 0; index < count; index += 1) {
    result[index + 1] = (result[index] ?? 0) + heightOf(index);
  }
  return result;
}

/** The rows `[first, end)` that lie between two heights. */
export function rowsBetween(starts: Float64Array, top: number, bottom: number): [number, number] {
  const first = Math.max(0, firstAbove(starts, top) - 1);
  const end = Math.min(starts.length - 1, firstAbove(starts, bottom));
  return [Math.min(first, end), end];
}

function firstAbove(starts: Float64Array, height: number): number {
  let low = 0;
  let high = starts.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((starts[middle] ?? 0) > height) high = middle;
    else low = middle + 1;
  }
  return low;
}

export interface VirtualRowsProps<T> extends Omit<HTMLAttributes<HTMLDivElement>, "children"> {
  items: readonly T[];
  heightOf: (item: T) => number;
  keyOf: (item: T) => string;
  row: (item: T, index: number) => ComponentChildren;
  /** Whether the rows are those of a table or the items of a list. */
  kind: "table" | "list";
  /** What stands above the rows and stays there. */
  head?: ComponentChildren;
}

export function VirtualRows<T>(props: VirtualRowsProps<T>) {
  const { items, heightOf, keyOf, row, kind, head, ...rest } = props;
  const [ref, { height }] = useSize<HTMLDivElement>();
  const [top, setTop] = useState(0);
  const starts = useMemo(
    () => offsets(items.length, (index) => heightOf(items[index] as T)),
    [items, heightOf],
  );
  const [first, end] = rowsBetween(starts, top - OVERSCAN_PX, top + height + OVERSCAN_PX);
  return (
    <div {...rest} ref={ref} onScroll={(event) => setTop(event.currentTarget.scrollTop)}>
      {head}
      <div
        class="sm-virtual"
        role={kind === "table" ? "rowgroup" : "list"}
        style={{ height: `${starts[items.length]}px` }}
      >
        {items.slice(first, end).map((item, at) => (
          <div
            key={keyOf(item)}
            class="sm-virtual-row"
            role={kind === "table" ? "presentation" : "listitem"}
            style={{ top: `${starts[first + at]}px`, height: `${heightOf(item)}px` }}
          >
            {row(item, first + at)}
          </div>
        ))}
      </div>
    </div>
  );
}
