// The log: follows the newest entry, filters, searches, loads what is older, points at a line.

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import * as format from "../format";
import { writePlace } from "../links";
import type { LogWindow } from "../log";
import type { LogEntry } from "../messages";
import type { Monitor } from "../monitor";
import { LEVEL_LOOK } from "../states";
import { useSize } from "./hooks";
import { ErrorNotice } from "./notices";

const ROW_PX = 24;
const OVERSCAN_ROWS = 12;
// Pages are asked for a little before the reader reaches the end of what is there.
const NEAR_PX = 240;
const AT_END_PX = 4;
const SEARCH_DELAY_MS = 250;

const LEVELS = [
  ["all", "All"],
  ["warning", "Warnings"],
  ["error", "Errors"],
] as const;

export interface LogProps {
  monitor: Monitor;
  taskId: string;
  log: LogWindow;
  line: number | null;
}

export function Log({ monitor, taskId, log, line }: LogProps) {
  const chosen = line === null ? undefined : entryOf(log.entries, line);
  return (
    <section class="sm-log" aria-label="Log">
      <LogTools monitor={monitor} taskId={taskId} log={log} />
      {log.error && <ErrorNotice error={log.error} testId="log-error" />}
      <LogRows monitor={monitor} taskId={taskId} log={log} line={line} />
      {chosen && <LogDetail monitor={monitor} entry={chosen} />}
    </section>
  );
}

function LogTools({ monitor, taskId, log }: Omit<LogProps, "line">) {
  const { level, unit } = log.query;
  return (
    <div class="sm-log-tools">
      <h2>Log</h2>
      <div class="sm-chips" role="group" aria-label="Levels">
        {LEVELS.map(([value, word]) => (
          <button
            key={value}
            type="button"
            class="sm-chip"
            data-testid={`log-level-${value}`}
            aria-pressed={level === value}
            title={value === "warning" ? "Warnings and errors" : undefined}
            onClick={() => monitor.query({ level: value })}
          >
            {word}
          </button>
        ))}
        {unit && (
          <button
            type="button"
            class="sm-chip"
            aria-pressed="true"
            aria-label={`Only ${unit}; show all tables`}
            onClick={() => monitor.query({ unit: null })}
          >
            {unit} ✕
          </button>
        )}
      </div>
      <Search key={taskId} monitor={monitor} />
      {log.following && log.atEnd ? (
        <span class="sm-quiet" data-testid="log-following">
          following
        </span>
      ) : (
        <>
          {!log.atStart && (
            <button
              type="button"
              class="sm-button sm-button-small"
              data-testid="log-first"
              onClick={() => monitor.showStart()}
            >
              first ↑
            </button>
          )}
          <button
            type="button"
            class="sm-button sm-button-small"
            data-testid="log-jump"
            onClick={() => monitor.follow(true)}
          >
            {log.unread > 0 ? `${format.count(log.unread)} new · ` : ""}jump to newest ↓
          </button>
        </>
      )}
      <button
        type="button"
        class="sm-button sm-button-small"
        data-testid="log-download"
        aria-label="Download the log as CSV"
        onClick={() => void download(monitor, taskId)}
      >
        download
      </button>
    </div>
  );
}

function Search({ monitor }: { monitor: Monitor }) {
  const [text, setText] = useState("");
  const asked = useRef("");
  useEffect(() => {
    const wanted = text.trim();
    if (wanted === asked.current) return;
    const timer = setTimeout(() => {
      asked.current = wanted;
      monitor.query({ text: wanted });
    }, SEARCH_DELAY_MS);
    return () => clearTimeout(timer);
  }, [monitor, text]);
  return (
    <input
      class="sm-input"
      type="search"
      placeholder="search…"
      aria-label="Search the log"
      data-testid="log-search"
      value={text}
      onInput={(event) => setText(event.currentTarget.value)}
    />
  );
}

function LogRows({ monitor, taskId, log, line }: LogProps) {
  const [ref, { height }] = useSize<HTMLDivElement>();
  const [top, setTop] = useState(0);
  const lastTop = useRef(0);
  const shown = useRef<readonly LogEntry[]>([]);
  const reached = useRef<number | null>(null);
  const { entries, following, atEnd, atStart, loading } = log;

  const scrollTo = (position: number) => {
    const element = ref.current;
    if (!element) return;
    element.scrollTop = position;
    lastTop.current = element.scrollTop;
    setTop(element.scrollTop);
  };

  // Keep what is read where it is while rows come and go above it.
  useLayoutEffect(() => {
    const shift = shiftOf(shown.current, entries);
    shown.current = entries;
    if (following) scrollTo(entries.length * ROW_PX);
    else if (shift !== 0) scrollTo(lastTop.current + shift * ROW_PX);
  }, [entries, following, height]);

  // Bring a line that is pointed at into view, once.
  useLayoutEffect(() => {
    if (line === reached.current || height === 0) return;
    if (line === null) {
      reached.current = null;
      return;
    }
    const at = indexOf(entries, line);
    if (at < 0) return;
    reached.current = line;
    const position = at * ROW_PX;
    if (position >= lastTop.current && position + ROW_PX <= lastTop.current + height) return;
    scrollTo(position - height / 2);
  }, [entries, line, height]);

  const room = height > 0 && entries.length * ROW_PX <= height;
  useEffect(() => {
    if (room) monitor.loadOlder();
  }, [monitor, room, entries]);

  const onScroll = (element: HTMLDivElement) => {
    const position = element.scrollTop;
    const rest = element.scrollHeight - element.clientHeight - position;
    const up = position < lastTop.current - 1;
    lastTop.current = position;
    setTop(position);
    if (following && up && rest > AT_END_PX) monitor.follow(false);
    if (!following && !up && rest <= AT_END_PX && atEnd) monitor.follow(true);
    if (position < NEAR_PX) monitor.loadOlder();
    if (rest < NEAR_PX) monitor.loadNewer();
  };

  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape" && line !== null) monitor.chooseLine(null);
    if (event.key === "End") monitor.follow(true);
    if (event.key === "Home" && !atStart) {
      event.preventDefault();
      monitor.showStart();
    }
    if (step === undefined || entries.length === 0) return;
    event.preventDefault();
    const at = line === null ? -1 : indexOf(entries, line);
    const next = at < 0 ? entries.length - 1 : Math.min(Math.max(at + step, 0), entries.length - 1);
    if (next < entries.length - 1) monitor.follow(false);
    monitor.chooseLine(entries[next]?.seq ?? null);
  };

  const first = Math.max(0, Math.floor(top / ROW_PX) - OVERSCAN_ROWS);
  const end = Math.ceil((top + height) / ROW_PX) + OVERSCAN_ROWS;
  return (
    <div
      ref={ref}
      class="sm-log-rows"
      role="log"
      aria-label="Log entries"
      aria-live="off"
      aria-busy={loading !== null}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrollable region must take the keyboard
      tabIndex={0}
      data-testid="log"
      onScroll={(event) => onScroll(event.currentTarget)}
      onKeyDown={onKeyDown}
    >
      <div class="sm-virtual" style={{ height: `${entries.length * ROW_PX}px` }}>
        {entries.slice(first, end).map((entry, at) => (
          <LogRow
            key={entry.seq}
            entry={entry}
            top={(first + at) * ROW_PX}
            chosen={entry.seq === line}
            href={writePlace({ taskId, line: entry.seq })}
            onChoose={() => monitor.chooseLine(entry.seq === line ? null : entry.seq)}
          />
        ))}
      </div>
      {entries.length === 0 && (
        <p class="sm-quiet sm-pad">{loading || !atStart ? "" : emptyWords(log)}</p>
      )}
    </div>
  );
}

interface LogRowProps {
  entry: LogEntry;
  top: number;
  chosen: boolean;
  href: string;
  onChoose: () => void;
}

function LogRow({ entry, top, chosen, href, onChoose }: LogRowProps) {
  const { icon, word, tone } = LEVEL_LOOK[entry.level];
  return (
    <a
      class={`sm-log-row${chosen ? " sm-chosen" : ""}`}
      style={{ top: `${top}px` }}
      href={href}
      tabIndex={-1}
      data-testid={`log-${entry.seq}`}
      data-level={entry.level}
      aria-current={chosen ? "true" : undefined}
      onClick={(event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        onChoose();
      }}
    >
      <time dateTime={entry.time} title={format.exactTime(entry.time)}>
        {format.clock(entry.time)}
      </time>
      <span class={`sm-log-level sm-tone-${tone}`}>
        <span class="sm-icon" aria-hidden="true">
          {icon}
        </span>
        {word}
      </span>
      <span class="sm-log-unit">{entry.unit}</span>
      <span class="sm-log-message">{withoutUnit(entry)}</span>
    </a>
  );
}

function LogDetail({ monitor, entry }: { monitor: Monitor; entry: LogEntry }) {
  return (
    <div class="sm-log-detail" data-testid="log-detail">
      <p class="sm-quiet">
        line {format.count(entry.seq)} · {format.exactTime(entry.time)} · {entry.level}
        {entry.unit && ` · ${entry.unit}`}
        <button type="button" class="sm-link" onClick={() => monitor.chooseLine(null)}>
          close
        </button>
      </p>
      <p class="sm-log-text">{entry.message}</p>
    </div>
  );
}

/** The message without the name of its table, which stands in a column of its own. */
function withoutUnit({ message, unit }: LogEntry): string {
  return unit && message.startsWith(`${unit}: `) ? message.slice(unit.length + 2) : message;
}

function emptyWords({ query }: LogWindow): string {
  if (query.text) return `No entry contains “${query.text}”.`;
  if (query.level === "error") return "No errors.";
  if (query.level === "warning") return "No warnings and no errors.";
  return "Nothing has happened yet. Start writes the first line.";
}

/** How many rows came (or, negative, went) above what was shown before. */
export function shiftOf(before: readonly LogEntry[], now: readonly LogEntry[]): number {
  const [oldFirst] = before;
  const [newFirst] = now;
  if (!oldFirst || !newFirst || oldFirst.seq === newFirst.seq) return 0;
  if (newFirst.seq < oldFirst.seq) return Math.max(0, indexOf(now, oldFirst.seq));
  return -Math.max(0, indexOf(before, newFirst.seq));
}

function indexOf(entries: readonly LogEntry[], seq: number): number {
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((entries[middle]?.seq ?? 0) < seq) low = middle + 1;
    else high = middle;
  }
  return entries[low]?.seq === seq ? low : -1;
}

function entryOf(entries: readonly LogEntry[], seq: number): LogEntry | undefined {
  return entries[indexOf(entries, seq)];
}

async function download(monitor: Monitor, taskId: string): Promise<void> {
  const blob = await monitor.logCsv();
  if (!blob) return;
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = `${taskId}-log.csv`;
  link.click();
  URL.revokeObjectURL(url);
}
