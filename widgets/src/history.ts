// The samples of a run that the charts draw: the server's, then the live ones. Pure functions.

import type { HistorySample, Progress } from "./messages";

/** More points than a chart has pixels show nothing. */
export const MOST_SAMPLES = 1_200;
// A pause, a lost worker or a lost connection: a line across it would claim something.
const GAP_FACTOR = 8;
const SHORTEST_GAP_MS = 30_000;

export interface Point {
  time: number;
  /** Running milliseconds, pauses left out: the place on the axis. */
  at: number;
  value: number;
}

/** Append what a progress object says, unless it is older than the last sample. */
export function withSample(
  samples: readonly HistorySample[],
  progress: Progress,
): readonly HistorySample[] {
  const { task_id, run_id, updated_at: time } = progress;
  const last = samples.at(-1);
  if (time === null || run_id === null) return samples;
  if (last && Date.parse(time) <= Date.parse(last.time)) return samples;
  const { elapsed_seconds, rows_committed, bytes_committed } = progress;
  const { overall_progress, speed, speed_bytes } = progress;
  const sample: HistorySample = {
    task_id,
    run_id,
    time,
    elapsed_seconds,
    rows_committed,
    bytes_committed,
    overall_progress,
    speed,
    speed_bytes,
  };
  return thinned([...samples, sample]);
}

/** At most MOST_SAMPLES: every other one of the older half goes, the newest stay exact. */
export function thinned(samples: readonly HistorySample[]): readonly HistorySample[] {
  let kept = samples;
  while (kept.length > MOST_SAMPLES) {
    const half = Math.floor(kept.length / 2);
    kept = kept.filter((_, index) => index >= half || index % 2 === 0);
  }
  return kept;
}

/** Points of one measure, in pieces: a piece ends where samples are missing. */
export function pieces(
  samples: readonly HistorySample[],
  measure: (sample: HistorySample) => number | null,
): Point[][] {
  const points: Point[] = [];
  let at = 0; // a run that is taken over may have forgotten its last second: never back
  for (const sample of samples) {
    const value = measure(sample);
    at = Math.max(at, sample.elapsed_seconds * 1000);
    if (value !== null) points.push({ time: Date.parse(sample.time), at, value });
  }
  const gap = longestStep(points);
  const result: Point[][] = [];
  let piece: Point[] = [];
  for (const point of points) {
    const previous = piece.at(-1);
    if (previous && point.time - previous.time > gap) {
      result.push(piece);
      piece = [];
    }
    piece.push(point);
  }
  if (piece.length > 0) result.push(piece);
  return result;
}

/** Where on the axis the run stood still between two pieces, as in a pause. */
export function pauses(curves: readonly (readonly Point[])[]): number[] {
  return curves.slice(1).flatMap((piece, index) => {
    const before = curves[index]?.at(-1);
    const [after] = piece;
    if (!before || !after) return [];
    const still = after.time - before.time - (after.at - before.at);
    return still >= SHORTEST_GAP_MS ? [after.at] : [];
  });
}

function longestStep(points: readonly Point[]): number {
  const steps = points.slice(1).map(({ time }, at) => time - (points[at]?.time ?? time));
  steps.sort((a, b) => a - b);
  const median = steps[Math.floor(steps.length / 2)] ?? 0;
  return Math.max(SHORTEST_GAP_MS, GAP_FACTOR * median);
}
