// Curves over the time that a run ran, drawn as SVG: an area chart with a read-out, and a sparkline.

import { useMemo, useState } from "preact/hooks";
import { clock, clockShort } from "../format";
import { type Point, pauses, pieces } from "../history";
import type { HistorySample } from "../messages";
import { useSize } from "./hooks";

const PAD_TOP = 4;
const PAD_BOTTOM = 16;

interface Extent {
  /** Running milliseconds. */
  from: number;
  to: number;
  top: number;
}

export interface ChartProps {
  title: string;
  samples: readonly HistorySample[];
  measure: (sample: HistorySample) => number | null;
  /** A value in words. */
  words: (value: number) => string;
  /** A level to draw as a line, such as the total; null where there is none. */
  level: number | null;
  /** Whether the last value is one of now; else only the pointer's is shown. */
  live: boolean;
  testId: string;
}

export function Chart({ title, samples, measure, words, level, live, testId }: ChartProps) {
  const [ref, { width, height }] = useSize<HTMLDivElement>();
  const [pointer, setPointer] = useState<number | null>(null);
  const curves = useMemo(() => pieces(samples, measure), [samples, measure]);
  const points = curves.flat();
  const extent = extentOf(points, level);
  const bottom = height - PAD_BOTTOM;
  const x = (at: number) => scale(at, extent.from, extent.to, width);
  const y = (value: number) => bottom - scale(value, 0, extent.top, bottom - PAD_TOP);
  const [first] = points;
  const last = points.at(-1);
  const shown = pointer === null ? last : nearest(points, pointer, x);
  return (
    <figure class="sm-chart" data-testid={testId}>
      <figcaption>
        <span>{title}</span>
        <span class="sm-chart-value">
          {shown && pointer !== null && `${clock(shown.time)}  `}
          {shown ? (live || pointer !== null) && words(shown.value) : "no samples"}
        </span>
      </figcaption>
      <div
        ref={ref}
        class="sm-chart-plot"
        onPointerMove={(event) => setPointer(event.offsetX)}
        onPointerLeave={() => setPointer(null)}
      >
        {width > 0 && first && last && (
          <svg
            width={width}
            height={height}
            role="img"
            aria-label={summary(title, points, words, live)}
          >
            <line class="sm-axis" x1={0} x2={width} y1={bottom + 0.5} y2={bottom + 0.5} />
            {level !== null && (
              <line class="sm-level" x1={0} x2={width} y1={y(level)} y2={y(level)} />
            )}
            {curves.map((curve) => (
              <g key={curve[0]?.time}>
                <path class="sm-area" d={areaPath(curve, x, y, bottom)} />
                <path class="sm-curve" d={linePath(curve, x, y)} />
              </g>
            ))}
            {pauses(curves).map((at) => (
              <line key={at} class="sm-pause" x1={x(at)} x2={x(at)} y1={0} y2={bottom} />
            ))}
            {shown && pointer !== null && (
              <line class="sm-level" x1={x(shown.at)} x2={x(shown.at)} y1={0} y2={bottom} />
            )}
            <text class="sm-tick" x={0} y={height - 4}>
              {tick(first.time, last.time - first.time)}
            </text>
            <text class="sm-tick" x={width} y={height - 4} text-anchor="end">
              {tick(last.time, last.time - first.time)}
            </text>
          </svg>
        )}
      </div>
    </figure>
  );
}

export interface SparklineProps {
  samples: readonly HistorySample[];
  measure: (sample: HistorySample) => number | null;
}

/** The last minutes of a measure, as high as a line of text. */
export function Sparkline({ samples, measure }: SparklineProps) {
  const width = 96;
  const height = 16;
  const curves = useMemo(() => pieces(samples.slice(-60), measure), [samples, measure]);
  const extent = extentOf(curves.flat(), null);
  const x = (at: number) => scale(at, extent.from, extent.to, width);
  const y = (value: number) => height - 1 - scale(value, 0, extent.top, height - 2);
  return (
    <svg class="sm-sparkline" width={width} height={height} aria-hidden="true">
      {curves.map((curve) => (
        <g key={curve[0]?.time}>
          <path class="sm-area" d={areaPath(curve, x, y, height)} />
          <path class="sm-curve" d={linePath(curve, x, y)} />
        </g>
      ))}
    </svg>
  );
}

export function extentOf(points: readonly Point[], level: number | null): Extent {
  const from = points[0]?.at ?? 0;
  const to = points.at(-1)?.at ?? 0;
  let top = level ?? 0;
  for (const { value } of points) if (value > top) top = value;
  return { from, to: Math.max(to, from + 1000), top: top || 1 };
}

/** A time on the axis: with seconds where the axis is short. */
function tick(time: number, span: number): string {
  return span < 600_000 ? clock(time) : clockShort(time);
}

function scale(value: number, from: number, to: number, length: number): number {
  return Math.round(((value - from) / (to - from)) * length * 10) / 10;
}

type Axis = (value: number) => number;

function linePath(curve: readonly Point[], x: Axis, y: Axis): string {
  return curve.map(({ at, value }, index) => `${index ? "L" : "M"}${x(at)} ${y(value)}`).join("");
}

function areaPath(curve: readonly Point[], x: Axis, y: Axis, bottom: number): string {
  const [first] = curve;
  const last = curve.at(-1);
  if (!first || !last) return "";
  return `${linePath(curve, x, y)}L${x(last.at)} ${bottom}L${x(first.at)} ${bottom}Z`;
}

function nearest(points: readonly Point[], pointer: number, x: Axis): Point | undefined {
  let best: Point | undefined;
  let distance = Number.POSITIVE_INFINITY;
  for (const point of points) {
    const away = Math.abs(x(point.at) - pointer);
    if (away >= distance) continue;
    best = point;
    distance = away;
  }
  return best;
}

function summary(
  title: string,
  points: readonly Point[],
  words: (value: number) => string,
  live: boolean,
): string {
  const [first] = points;
  const last = points.at(-1);
  if (!first || !last) return title;
  const most = points.reduce((top, { value }) => Math.max(top, value), 0);
  const span = `${clock(first.time)} to ${clock(last.time)}`;
  const now = live ? `now ${words(last.value)}, ` : "";
  return `${title}, ${span}: ${now}at most ${words(most)}`;
}
