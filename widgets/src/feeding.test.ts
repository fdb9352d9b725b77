import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type KernelServer, openFeeding } from "./feeding";
import { busyWords, fedByWords } from "./views/widget";

const CHANNEL = { send: () => {}, on: () => {}, off: () => {} };

beforeEach(() => {
  vi.useFakeTimers();
  const textContent = JSON.stringify({ baseUrl: "/" });
  vi.stubGlobal("document", { cookie: "", getElementById: () => ({ textContent }) });
  vi.stubGlobal("location", { origin: "http://here:8888" });
  vi.stubGlobal("fetch", async () => new Response("", { status: 502 }));
});

afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

test.each<[string, KernelServer, string]>([
  [
    "works on the store",
    { baseUrl: null, origin: null },
    "Relayed by the kernel, which works on the store itself, without a server.",
  ],
  [
    "uses another server",
    { baseUrl: "/", origin: "http://there:8888" },
    "Relayed by the kernel: this page is not of the server that the kernel uses.",
  ],
  [
    "uses a server that does not answer",
    { baseUrl: "/", origin: null },
    "Relayed by the kernel: the server did not answer this browser.",
  ],
])("a widget whose kernel %s says so", async (_, server, words) => {
  const feeding = await openFeeding(CHANNEL, server);
  expect(feeding.by).toBe("kernel");
  expect(fedByWords(feeding.reason, false)).toBe(words);
  feeding.close();
});

test("a widget that the server feeds says whether it answers", () => {
  expect(fedByWords(null, false)).toBe("Live from the server, also while the kernel is busy.");
  expect(fedByWords(null, true)).toBe("From the server, which does not answer now.");
});

test("a widget whose command waits says for what, and who would not let it wait", () => {
  const words = "The kernel is busy: it does what you pressed when the cell has ended.";
  expect(busyWords("")).toBe(words);
  expect(busyWords("ipykernel 7")).toBe(`${words} ipykernel 7 would do it at once.`);
});
