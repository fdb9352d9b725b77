import { describe, expect, test } from "vitest";
import {
  appended,
  around,
  emptyLog,
  type LogWindow,
  matches,
  shiftOf,
  spanOf,
  WINDOW_ENTRIES,
  withFollowing,
  withNewer,
  withNewest,
  withOlder,
  withOldest,
} from "./log";
import { entries, entry } from "./testing";

const seqs = (log: LogWindow) => log.entries.map(({ seq }) => seq);
const filled = (first: number, last: number) => withNewest(emptyLog(), entries(first, last), 200);

describe("what the stream brings", () => {
  test("is appended", () => {
    expect(seqs(appended(filled(1, 3), entries(4, 5)))).toEqual([1, 2, 3, 4, 5]);
  });

  test("and was there already, is not taken twice", () => {
    const log = appended(filled(1, 3), entries(2, 4));
    expect(seqs(log)).toEqual([1, 2, 3, 4]);
    expect(appended(log, entries(1, 4))).toBe(log);
  });

  test("with a hole before it, leaves the newer part, which can be scrolled up from", () => {
    const log = appended(filled(1, 3), entries(10, 12));
    expect(seqs(log)).toEqual([10, 11, 12]);
    expect(log.atStart).toBe(false);
  });

  test("with a hole before it, does not take away what is being read", () => {
    const log = appended(withFollowing(filled(1, 3), false), entries(10, 12));
    expect(seqs(log)).toEqual([1, 2, 3]);
    expect(log).toMatchObject({ atEnd: false, unread: 3 });
  });

  test("is counted while the view does not follow", () => {
    const log = appended(withFollowing(filled(1, 3), false), entries(4, 5));
    expect(seqs(log)).toEqual([1, 2, 3, 4, 5]);
    expect(log.unread).toBe(2);
    expect(withFollowing(log, true).unread).toBe(0);
  });

  test("is filtered like the server does, and its position is remembered all the same", () => {
    const query = { level: "error" as const, text: "", unit: null };
    const log = withNewest(emptyLog(query), [entry(2, { level: "error" })], 200);
    const more = appended(log, [entry(3), entry(4, { level: "error" })]);
    expect(seqs(more)).toEqual([2, 4]);
    expect(appended(more, [entry(5)]).seen).toBe(5);
  });

  test("pushes the oldest out at the bound", () => {
    const log = appended(filled(1, 10), entries(11, WINDOW_ENTRIES + 5));
    expect(log.entries).toHaveLength(WINDOW_ENTRIES);
    expect(log.entries[0]?.seq).toBe(6);
    expect(log.atStart).toBe(false);
  });

  test("beyond the bound, waits behind the window while an older part is read", () => {
    const reading = withFollowing(appended(filled(1, 10), entries(11, WINDOW_ENTRIES)), false);
    const log = appended(reading, entries(WINDOW_ENTRIES + 1, WINDOW_ENTRIES + 3));
    expect(log.entries).toBe(reading.entries);
    expect(log).toMatchObject({ atEnd: false, unread: 3 });
  });
});

describe("the newest page", () => {
  test("joins what the stream brought meanwhile", () => {
    const log = withNewest(appended(emptyLog(), entries(4, 6)), entries(1, 5), 200);
    expect(seqs(log)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test("gives way to what the stream brought where a hole lies between", () => {
    const log = withNewest(appended(emptyLog(), entries(8, 9)), entries(1, 5), 200);
    expect(seqs(log)).toEqual([8, 9]);
    expect(log.atStart).toBe(false);
  });

  test("shorter than asked for, holds the start", () => {
    expect(withNewest(emptyLog(), entries(1, 5), 5).atStart).toBe(false);
    expect(withNewest(emptyLog(), entries(1, 4), 5).atStart).toBe(true);
    expect(withNewest(emptyLog(), [], 5)).toMatchObject({ atStart: true, seen: 0 });
  });
});

describe("older and newer pages", () => {
  test("go before and behind the window", () => {
    const log = withOlder(filled(11, 12), entries(9, 10), 2);
    expect(seqs(log)).toEqual([9, 10, 11, 12]);
    expect(log.atStart).toBe(false);
    expect(withOlder(log, [], 2).atStart).toBe(true);
  });

  test("older ones push the newest out at the bound", () => {
    const log = withOlder(
      filled(WINDOW_ENTRIES, WINDOW_ENTRIES + 9),
      entries(1, WINDOW_ENTRIES - 1),
      1,
    );
    expect(log.entries).toHaveLength(WINDOW_ENTRIES);
    expect(log.entries[0]?.seq).toBe(1);
    expect(log.atEnd).toBe(false);
  });

  test("newer ones lead back to the live end", () => {
    const old = around(filled(90, 99), entries(1, 20), 0, 20);
    expect(old).toMatchObject({ atEnd: false, following: false });
    const middle = withNewer(old, entries(21, 40), 20);
    expect(middle.atEnd).toBe(false);
    const end = withNewer(middle, entries(41, 50), 20);
    expect(end.atEnd).toBe(true);
    expect(seqs(end)).toEqual(entries(1, 50).map(({ seq }) => seq));
  });
});

test("the filter", () => {
  const line = entry(1, { level: "warning", unit: "planes", message: "Slow Source" });
  const all = { level: "all" as const, text: "", unit: null };
  expect(matches(line, all)).toBe(true);
  expect(matches(line, { ...all, text: "slow" })).toBe(true);
  expect(matches(line, { ...all, text: "fast" })).toBe(false);
  expect(matches(line, { ...all, level: "warning" })).toBe(true);
  expect(matches(line, { ...all, level: "error" })).toBe(false);
  expect(matches({ ...line, level: "error" }, { ...all, level: "warning" })).toBe(true);
  expect(matches({ ...line, level: "success" }, { ...all, level: "warning" })).toBe(false);
  expect(matches(line, { ...all, unit: "flights" })).toBe(false);
});

describe("the first entries", () => {
  test("take the place of what was shown, and what is newer can be loaded", () => {
    const log = withOldest(filled(900, 999), entries(1, 200), 200);
    expect(seqs(log)).toEqual(seqs(filled(1, 200)));
    expect(log).toMatchObject({ atStart: true, atEnd: false, following: false, seen: 999 });
  });

  test("of a log that ends there are all of it", () => {
    expect(withOldest(emptyLog(), entries(1, 5), 200)).toMatchObject({
      atStart: true,
      atEnd: true,
    });
  });
});

describe("another part", () => {
  const long = filled(999_801, 1_000_000);

  test("takes the place of the window, which stays as small as it was", () => {
    const log = around(long, entries(400_001, 400_200), 400_000, 200);
    expect(seqs(log)).toEqual(seqs(filled(400_001, 400_200)));
    expect(log).toMatchObject({ atStart: false, atEnd: false, following: false, seen: 1_000_000 });
  });

  test("behind pruned entries tells where the log begins", () => {
    const log = around(long, entries(5_001, 5_200), 100, 200);
    expect(log).toMatchObject({ first: 5_001, atStart: true });
    expect(spanOf(log)).toEqual({ before: 0, rows: 995_000 });
  });

  test("at the end is the end, unless more is known to have come", () => {
    const page = entries(999_901, 1_000_000);
    expect(around(long, page, 999_900, 200).atEnd).toBe(true);
    expect(around({ ...long, seen: 1_000_001 }, page, 999_900, 200).atEnd).toBe(false);
  });

  test("that is gone leaves what was shown", () => {
    const log = around({ ...long, seen: 2_000_000 }, [], 1_500_000, 200);
    expect(log.entries).toBe(long.entries);
    expect(log.seen).toBe(1_000_000);
  });
});

describe("what the scroll bar spans", () => {
  test("is the whole log, of which the window is a part", () => {
    expect(spanOf(emptyLog())).toEqual({ before: 0, rows: 0 });
    expect(spanOf(filled(1, 3))).toEqual({ before: 0, rows: 3 });
    expect(spanOf(filled(801, 1_000))).toEqual({ before: 800, rows: 1_000 });
    const read = around(filled(801, 1_000), entries(301, 500), 300, 200);
    expect(spanOf(read)).toEqual({ before: 300, rows: 1_000 });
  });

  test("grows with what comes while something older is read", () => {
    const read = around(filled(801, 1_000), entries(301, 500), 300, 200);
    expect(spanOf(appended(read, entries(1_001, 1_010))).rows).toBe(1_010);
    const paused = withFollowing(filled(801, 1_000), false);
    expect(spanOf(appended(paused, entries(1_001, 1_010)))).toEqual({ before: 800, rows: 1_010 });
  });

  test("begins with the oldest entry that is kept", () => {
    const log = withOldest(filled(801, 1_000), entries(301, 500), 200);
    expect(spanOf(log)).toEqual({ before: 0, rows: 700 });
    const older = withOlder(filled(501, 700), entries(490, 500), 200);
    expect(spanOf(older)).toEqual({ before: 0, rows: 211 });
  });

  test("is what is known to match, where the log is filtered", () => {
    const query = { level: "error" as const, text: "", unit: null };
    const errors = [entry(500, { level: "error" }), entry(900, { level: "error" })];
    const log = withNewest({ ...emptyLog(query), seen: 1_000 }, errors, 2);
    expect(spanOf(log)).toEqual({ before: 0, rows: 2 });
  });
});

describe("what is read stays where it is", () => {
  const query = { level: "error" as const, text: "", unit: null };
  const errors = (log: LogWindow) => ({ ...log, query });

  test("in the whole log, whatever is loaded, by its number", () => {
    expect(shiftOf(filled(801, 1_000), withOlder(filled(801, 1_000), entries(601, 800), 200))).toBe(
      0,
    );
    const long = filled(801, 1_000);
    expect(shiftOf(long, around(long, entries(301, 500), 300, 200))).toBe(0);
    expect(shiftOf(long, around(long, entries(301, 500), 100, 200))).toBe(-300);
  });

  test("in what is found, by the entries that stay", () => {
    const few = errors(filled(801, 1_000));
    expect(shiftOf(few, withOlder(few, entries(601, 800), 200))).toBe(200);
    expect(shiftOf(few, { ...few, entries: few.entries.slice(50) })).toBe(-50);
    expect(shiftOf(few, { ...few, entries: entries(1, 200) })).toBe(0);
  });
});
