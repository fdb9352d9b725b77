import { describe, expect, test } from "vitest";
import { type SseEvent, SseParser } from "./sse";

function parse(text: string): SseEvent[] {
  return new SseParser().feed(text);
}

const message = (data: string): SseEvent => ({ event: "message", data });

// The examples of the standard, section "Interpreting an event stream".
describe("the standard's examples", () => {
  test("a comment, and fields of one event", () => {
    const parser = new SseParser();
    expect(
      parser.feed(": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\n"),
    ).toEqual([message("first event"), message("second event")]);
    expect(parser.lastEventId).toBe("");
    expect(parser.feed("data:  third event\n\n")).toEqual([message(" third event")]);
  });

  test("lines of data are joined with a newline", () => {
    expect(parse("data: YHOO\ndata: +2\ndata: 10\n\n")).toEqual([message("YHOO\n+2\n10")]);
  });

  test("empty data is an event, no data is none, an unfinished event is dropped", () => {
    expect(parse("data\n\ndata\ndata\n\ndata:")).toEqual([message(""), message("\n")]);
    expect(parse("event: log\n\n")).toEqual([]);
  });

  test("one space after the colon does not matter", () => {
    expect(parse("data:test\n\ndata: test\n\n")).toEqual([message("test"), message("test")]);
  });
});

describe("lines", () => {
  test.each(["\n", "\r", "\r\n"])("end with %j", (end) => {
    const text = ["event: log", "data: a", "data: b", "", "data: c", "", ""].join(end);
    expect(parse(text)).toEqual([{ event: "log", data: "a\nb" }, message("c")]);
  });

  test("may be split anywhere, between CR and LF too", () => {
    const text = "\uFEFFevent: log\r\ndata: é😀\r\n\r\nid: 7\rdata: b\r\r";
    const whole = parse(text);
    expect(whole).toEqual([{ event: "log", data: "é😀" }, message("b")]);
    for (let at = 1; at < text.length; at += 1) {
      const parser = new SseParser();
      expect([...parser.feed(text.slice(0, at)), ...parser.feed(text.slice(at))]).toEqual(whole);
    }
    const parser = new SseParser();
    expect([...text].flatMap((character) => parser.feed(character))).toEqual(whole);
  });

  test("a byte order mark is skipped at the start only", () => {
    expect(parse("\uFEFFdata: a\n\n\uFEFFdata: b\n\n")).toEqual([message("a")]);
    expect(parse("\uFEFF\uFEFFdata: a\n\n")).toEqual([]);
  });

  test("unknown fields and comments are ignored, field names are exact", () => {
    expect(parse(":\n:data: x\nfoo: bar\nDATA: a\n data: b\ndata : c\ndata: d\n\n")).toEqual([
      message("d"),
    ]);
  });

  test("a value may hold colons", () => {
    expect(parse('data: {"a": "b:c"}\n\n')).toEqual([message('{"a": "b:c"}')]);
  });
});

describe("the event's name", () => {
  test("holds for one event", () => {
    expect(parse("event: a\nevent: b\ndata: 1\n\ndata: 2\n\n")).toEqual([
      { event: "b", data: "1" },
      message("2"),
    ]);
  });
});

describe("the last event id", () => {
  test("stays until another one comes", () => {
    const parser = new SseParser();
    parser.feed("id: a:12\ndata: x\n\ndata: y\n\n");
    expect(parser.lastEventId).toBe("a:12");
  });

  test("counts only once its event is whole", () => {
    const parser = new SseParser("1");
    parser.feed("id: 2\ndata: x\n");
    expect(parser.lastEventId).toBe("1");
    parser.feed("\n");
    expect(parser.lastEventId).toBe("2");
  });

  test("an event without data moves it", () => {
    const parser = new SseParser();
    expect(parser.feed("id: 3\n\n")).toEqual([]);
    expect(parser.lastEventId).toBe("3");
  });

  test("with a NUL is ignored", () => {
    const parser = new SseParser("1");
    parser.feed("id: 2\0\ndata: x\n\n");
    expect(parser.lastEventId).toBe("1");
  });
});

describe("the retry time", () => {
  test.each([
    ["retry: 1500\n\n", 1500],
    ["retry:0\n\n", 0],
    ["retry: 1.5\n\n", null],
    ["retry: -1\n\n", null],
    ["retry: 3s\n\n", null],
    ["retry:\n\n", null],
  ])("%j is %j", (text, expected) => {
    const parser = new SseParser();
    parser.feed(text);
    expect(parser.retry).toBe(expected);
  });
});
