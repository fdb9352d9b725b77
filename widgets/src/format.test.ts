import { describe, expect, test } from "vitest";
import * as format from "./format";

test.each([
  [0, "0"],
  [0.26, "0.26"],
  [3.04, "3"],
  [9.4, "9.4"],
  [412.4, "412"],
  [999.6, "1.0 k"],
  [1000, "1.0 k"],
  [41_234, "41.2 k"],
  [412_340, "412 k"],
  [999_600, "1.0 M"],
  [1_250_000, "1.3 M"],
  [2e9, "2.0 G"],
])("short(%d) is %s", (value, words) => {
  expect(format.short(value)).toBe(words);
});

test.each([
  [0, "0 B"],
  [1023, "1023 B"],
  [1024, "1.0 KiB"],
  [3_328_599_654, "3.1 GiB"],
  [150 * 1024 * 1024, "150 MiB"],
  [1024 * 1024 - 1, "1.0 MiB"],
])("bytes(%d) is %s", (value, words) => {
  expect(format.bytes(value)).toBe(words);
});

test("counts have thousands separators, estimates say so", () => {
  expect(format.count(336_776)).toBe("336,776");
  expect(format.total(336_776, true)).toBe("about 336,776");
  expect(format.countOf(212_340, 336_776, false)).toBe("212,340 of 336,776 rows");
  expect(format.countOf(212_340, 336_776, true)).toBe("212,340 of about 336,776 rows");
  expect(format.countOf(212_340, null, false)).toBe("212,340 rows");
  expect(format.countOf(1, null, false)).toBe("1 row");
  expect(format.countOf(3, 40, false, "iteration")).toBe("3 of 40 iterations");
  expect(format.plural(1, "table")).toBe("1 table");
  expect(format.plural(1200, "table")).toBe("1,200 tables");
});

test("a percentage is never rounded up", () => {
  expect(format.percent(99.9)).toBe("99 %");
  expect(format.percent(100)).toBe("100 %");
  expect(format.percent(null)).toBe("");
});

test.each([
  [0.4, "0 s"],
  [59.4, "59 s"],
  [59.6, "1 min 00 s"],
  [112, "1 min 52 s"],
  [3599.7, "1 h 00 min"],
  [11_100, "3 h 05 min"],
  [187_200, "2 d 4 h"],
])("duration(%d) is %s", (seconds, words) => {
  expect(format.duration(seconds)).toBe(words);
});

describe("a range of durations", () => {
  test.each([
    [0, 8, "under 10 s"],
    [22, 48, "20–50 s"],
    [3, 14, "up to 15 s"],
    [130, 235, "2–4 min"],
    [180, 180, "about 3 min"],
    [20 * 60, 44 * 60, "20–45 min"],
    [3600, 2 * 3600, "1–2 h"],
    [2 * 3600, 4.3 * 3600, "2–4.5 h"],
    [3 * 86_400, 5 * 86_400, "3–5 d"],
    [300, 200, "3–4 min"],
  ])("%d to %d s is %s", (low, high, words) => {
    expect(format.durationRange(low, high)).toBe(words);
  });

  test("holds the ends that it was made of", () => {
    for (let high = 10; high < 100_000; high = Math.ceil(high * 1.07)) {
      const words = format.durationRange(high / 3, high);
      const numbers = words.match(/[\d.]+/g)?.map(Number) ?? [];
      const size = { s: 1, min: 60, h: 3600, d: 86_400 }[words.split(" ").at(-1) ?? ""] ?? 0;
      expect((numbers.at(-1) ?? 0) * size, words).toBeGreaterThanOrEqual(high - 1e-6);
      if (numbers.length > 1)
        expect((numbers[0] ?? 0) * size, words).toBeLessThanOrEqual(high / 3 + 1e-6);
    }
  });
});

test("time left takes the ends, else the middle, else is unknown", () => {
  expect(format.timeLeft(120, 180, 240)).toBe("2–4 min left");
  expect(format.timeLeft(null, 180, null)).toBe("about 3 min left");
  expect(format.timeLeft(null, null, null)).toBeNull();
});
