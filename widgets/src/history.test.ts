import { describe, expect, test } from "vitest";
import { MOST_SAMPLES, pauses, pieces, thinned, withSample } from "./history";
import { progress, sample } from "./testing";
import { extentOf } from "./views/chart";

const many = (count: number) => Array.from({ length: count }, (_, at) => sample(at));

describe("samples", () => {
  test("grow with the progress", () => {
    const samples = withSample([sample(1)], progress("nightly", { rows_committed: 7 }));
    expect(samples).toHaveLength(2);
    expect(samples[1]).toMatchObject({ time: "2026-01-01T12:00:05Z", rows_committed: 7 });
  });

  test("take nothing older than the last, and nothing of no run", () => {
    const samples = [sample(9)];
    expect(withSample(samples, progress("nightly"))).toBe(samples);
    expect(withSample([], progress("nightly", { run_id: null }))).toEqual([]);
  });

  test("stay bounded: the first and the last stay, the newest exact", () => {
    const samples = thinned(many(5000));
    expect(samples.length).toBeLessThanOrEqual(MOST_SAMPLES);
    expect(samples[0]).toEqual(sample(0));
    expect(samples.slice(-100)).toEqual(many(5000).slice(-100));
  });
});

describe("a curve", () => {
  const rows = ({ rows_committed }: { rows_committed: number }) => rows_committed;

  test("is one piece while samples come", () => {
    expect(pieces(many(5), rows).map((piece) => piece.length)).toEqual([5]);
  });

  test("breaks where they were missing", () => {
    const samples = [...many(5), sample(600), sample(601)];
    expect(pieces(samples, rows).map((piece) => piece.length)).toEqual([5, 2]);
  });

  test("leaves out what was not measured", () => {
    const samples = [sample(0, { speed: null }), sample(1), sample(2)];
    expect(pieces(samples, ({ speed }) => speed).map((piece) => piece.length)).toEqual([2]);
    expect(pieces([], rows)).toEqual([]);
  });

  test("takes no room for a pause, which is marked", () => {
    const paused = [sample(3600, { elapsed_seconds: 5 }), sample(3601, { elapsed_seconds: 6 })];
    const curves = pieces([...many(5), ...paused], rows);
    expect(curves.map((piece) => piece.map(({ at }) => at / 1000))).toEqual([
      [0, 1, 2, 3, 4],
      [5, 6],
    ]);
    expect(extentOf(curves.flat(), null)).toMatchObject({ from: 0, to: 6000 });
    expect(pauses(curves)).toEqual([5000]);
  });

  test("marks no pause where samples of a run that went on are missing", () => {
    expect(pauses(pieces([...many(5), sample(600), sample(601)], rows))).toEqual([]);
  });

  test("never goes back", () => {
    const taken = [sample(9), sample(11, { elapsed_seconds: 8 }), sample(12)];
    expect(pieces(taken, rows)[0]?.map(({ at }) => at)).toEqual([9000, 9000, 12000]);
  });
});
