// An incremental parser of the event-stream format
// (https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation).

const LINE_END = /[\r\n]/g;

export interface SseEvent {
  event: string;
  data: string;
}

/** Text in, events out. Keeps the last event id and the retry time that the server asked for. */
export class SseParser {
  /** The id of the last *whole* event: an event that was cut off does not count. */
  lastEventId: string;
  /** Milliseconds, or null until the server names a time. */
  retry: number | null = null;

  #started = false;
  #afterCarriageReturn = false;
  #line = "";
  #data: string[] = [];
  #event = "";
  #id: string;

  constructor(lastEventId = "") {
    this.lastEventId = lastEventId;
    this.#id = lastEventId;
  }

  /** Parse the next piece of text, split anywhere, and return the events that it completes. */
  feed(text: string): SseEvent[] {
    let at = 0;
    if (!this.#started && text.length > 0) {
      this.#started = true;
      if (text.charCodeAt(0) === 0xfeff) at = 1;
    }
    const events: SseEvent[] = [];
    for (;;) {
      if (this.#afterCarriageReturn && at < text.length) {
        this.#afterCarriageReturn = false;
        if (text[at] === "\n") at += 1;
      }
      const end = lineEnd(text, at);
      if (end < 0) break;
      const event = this.#takeLine(this.#line + text.slice(at, end));
      this.#line = "";
      if (event) events.push(event);
      this.#afterCarriageReturn = text[end] === "\r";
      at = end + 1;
    }
    this.#line += text.slice(at);
    return events;
  }

  #takeLine(line: string): SseEvent | null {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return null;
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#event = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    else if (field === "retry" && /^[0-9]+$/.test(value)) this.retry = Number(value);
    return null;
  }

  #dispatch(): SseEvent | null {
    this.lastEventId = this.#id;
    const { length } = this.#data;
    const event = { event: this.#event || "message", data: this.#data.join("\n") };
    this.#data = [];
    this.#event = "";
    return length > 0 ? event : null;
  }
}

function lineEnd(text: string, from: number): number {
  LINE_END.lastIndex = from;
  return LINE_END.exec(text)?.index ?? -1;
}
