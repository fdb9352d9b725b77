import { describe, expect, test } from "vitest";
import { progress, unit } from "../testing";
import { tablesWords } from "./panel";

describe("the tables of a task in words", () => {
  const units = [unit("planes", { state: "pending" })];

  test("wait while the run goes on", () => {
    const running = progress("nightly", { state: "running", units, total_tables: 1 });
    expect(tablesWords(running)).toBe("1 table: 1 waiting");
  });

  test("have not begun where it has ended", () => {
    const failed = progress("nightly", { state: "failed", units, total_tables: 1 });
    expect(tablesWords(failed)).toBe("1 table: 1 not begun");
  });
});
