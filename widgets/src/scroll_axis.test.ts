import { describe, expect, test } from "vitest";
import { AT_TOP, axisOf, MOST_PX, type Scroll, scrolledBy, scrolledTo } from "./scroll_axis";

const ROW = 24;
const VIEW = 480;
const short = axisOf(1_000 * ROW, VIEW);
const long = axisOf(10_000_000 * ROW, VIEW);

describe("rows that a browser can lay out", () => {
  test("stand where they are scrolled to", () => {
    expect(short.height).toBe(24_000);
    expect(scrolledBy(short, AT_TOP, 7_000)).toEqual({ top: 7_000, place: 7_000 });
    expect(scrolledTo(short, 9_999_999)).toEqual({ top: 24_000 - VIEW, place: 24_000 - VIEW });
    expect(scrolledTo(axisOf(100, VIEW), 50)).toEqual(AT_TOP);
  });
});

describe("rows that are too many", () => {
  test("are in an element of a height that browsers allow", () => {
    expect(long.height).toBe(MOST_PX);
  });

  test("are all reached with the bar, in proportion", () => {
    const half = scrolledBy(long, AT_TOP, (MOST_PX - VIEW) / 2);
    expect(half.place).toBeCloseTo((long.length - VIEW) / 2, 3);
    const end = scrolledBy(long, half, MOST_PX - VIEW);
    expect(end.place).toBeCloseTo(long.length - VIEW, 3);
    expect(scrolledBy(long, end, 0).place).toBe(0);
  });

  test("are passed pixel by pixel in small steps, however often", () => {
    let scroll = scrolledTo(long, long.length / 3);
    const began = scroll.place;
    for (let step = 0; step < 1_000; step += 1) scroll = scrolledBy(long, scroll, scroll.top + 120);
    expect(scroll.place).toBeCloseTo(began + 120_000, 3);
  });

  test("are all passed on the way up, though the bar is at its end before they are", () => {
    let scroll: Scroll = { top: 1_000, place: 30_000 };
    const places: number[] = [];
    while (scroll.place > 0 && places.length < 1_000) {
      scroll = scrolledBy(long, scroll, Math.max(0, scroll.top - 100));
      places.push(scroll.place);
    }
    const steps = places.map((place, at) => (places[at - 1] ?? 30_000) - place);
    expect(Math.max(...steps)).toBeLessThan(100.001);
    expect(scroll).toEqual(AT_TOP);
  });

  test("end where the bar ends", () => {
    let scroll = scrolledTo(long, long.length - VIEW - 1_000);
    for (let step = 0; step < 20; step += 1) {
      scroll = scrolledBy(long, scroll, Math.min(MOST_PX - VIEW, scroll.top + 100));
    }
    expect(scroll).toEqual({ top: MOST_PX - VIEW, place: long.length - VIEW });
  });
});
