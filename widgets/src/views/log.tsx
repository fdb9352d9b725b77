// The log: follows the newest entry, filters, searches, loads what is older, points at a line.

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import * as format from "../format";
import { writePlace } from "../links";
import { indexOf, isFiltered, type LogWindow, shiftOf, spanOf } from "../log";
import type { LogEntry } from "../messages";
import type { Monitor } from "../monitor";
import { AT_TOP, axisOf, type Scroll, scrolledBy, scrolledTo } from "../scroll_axis";
import { LEVEL_LOOK } from "../states";
import { useSize } from "./hooks";
import { ErrorNotice } from "./notices";

const ROW_PX = 24;
const OVERSCAN_ROWS = 12;
// Pages are asked for a little before the reader reaches the end of what is there.
const NEAR_PX = 240;
const AT_END_PX = 4;
// Further away than this, the part that is looked at takes the place of the one that is loaded.
const FAR_ROWS = 200;
const SEARCH_DELAY_MS = 250;
const FOUND_TITLE = "The scroll bar spans what was found so far; more is looked for as you scroll.";

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
  const toStart = useRef(false);
  const showStart = () => {
    toStart.current = true;
    monitor.showStart();
  };
  const chosen = line === null ? undefined : entryOf(log.entries, line);
  return (
    <section class="sm-log" aria-label="Log">
      <LogTools monitor={monitor} taskId={taskId} log={log} onStart={showStart} />
      {log.error && <ErrorNotice error={log.error} testId="log-error" />}
      <LogRows
        monitor={monitor}
        taskId={taskId}
        log={log}
        line={line}
        toStart={toStart}
        onStart={showStart}
      />
      {chosen && <LogDetail monitor={monitor} entry={chosen} />}
    </section>
  );
}

interface LogToolsProps extends Omit<LogProps, "line"> {
  onStart: () => void;
}

function LogTools({ monitor, taskId, log, onStart }: LogToolsProps) {
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
      <Search key={taskId} monitor={monitor} searched={log.query.text} />
      {isFiltered(log.query) && log.entries.length > 0 && (
        <span class="sm-quiet" data-testid="log-found" title={FOUND_TITLE}>
          {foundWords(log)}
        </span>
      )}
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
              onClick={onStart}
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

/** `searched` is what the log is searched for: going to a line that is elsewhere ends a search. */
function Search({ monitor, searched }: { monitor: Monitor; searched: string }) {
  const [text, setText] = useState(searched);
  const asked = useRef(searched);
  useEffect(() => {
    if (searched === asked.current) return;
    asked.current = searched;
    setText(searched);
  }, [searched]);
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

interface LogRowsProps extends LogProps {
  /** The first entry was asked for, and is to be brought into sight. */
  toStart: { current: boolean };
  onStart: () => void;
}

function LogRows({ monitor, taskId, log, line, toStart, onStart }: LogRowsProps) {
  const [ref, { height: view }] = useSize<HTMLDivElement>();
  const [scroll, setScroll] = useState(AT_TOP);
  const last = useRef(AT_TOP);
  const shown = useRef(log);
  const reached = useRef<number | null>(null);
  const { entries, following, atEnd, atStart, loading } = log;
  const { before, rows } = spanOf(log);
  const axis = axisOf(rows * ROW_PX, view);

  const show = (wanted: Scroll) => {
    const element = ref.current;
    if (!element) return;
    if (Math.abs(element.scrollTop - wanted.top) >= 1) element.scrollTop = wanted.top;
    // The element rounds: what it says is compared with when it is scrolled next.
    last.current = { top: element.scrollTop, place: wanted.place };
    setScroll(last.current);
  };
  const scrollTo = (place: number) => show(scrolledTo(axis, place));

  // Keep what is read where it is while rows come and go above it.
  useLayoutEffect(() => {
    const shift = shiftOf(shown.current, log);
    shown.current = log;
    if (following) scrollTo(axis.length);
    else if (toStart.current && atStart) scrollTo(0);
    else if (shift !== 0 || last.current.place > axis.length - view) {
      // Not otherwise: the reader may have scrolled already, of which the event is yet to come.
      const { place } = scrolledBy(axis, last.current, ref.current?.scrollTop ?? 0);
      scrollTo(place + shift * ROW_PX);
    }
    if (atStart || following) toStart.current = false;
  }, [entries, following, rows, view]);

  // Bring a line that is pointed at into view, once.
  useLayoutEffect(() => {
    if (line === reached.current || view === 0) return;
    if (line === null) {
      reached.current = null;
      return;
    }
    const at = indexOf(entries, line);
    if (at < 0) return;
    reached.current = line;
    const place = (before + at) * ROW_PX;
    if (place >= last.current.place && place + ROW_PX <= last.current.place + view) return;
    scrollTo(place - view / 2);
  }, [entries, line, view]);

  const first = Math.max(0, Math.floor(scroll.place / ROW_PX) - OVERSCAN_ROWS);
  const end = Math.min(rows, Math.ceil((scroll.place + view) / ROW_PX) + OVERSCAN_ROWS);

  // Load what is in sight, one page at a time; after an error only when the reader moves on.
  const load = () => {
    if (view === 0 || loading || entries.length === 0) return;
    const middle = Math.floor((last.current.place + view / 2) / ROW_PX);
    const beyond = Math.max(before - middle, middle - before - entries.length);
    const above = last.current.place - before * ROW_PX;
    const below = (before + entries.length) * ROW_PX - last.current.place - view;
    if (beyond > FAR_ROWS) monitor.showAround(log.first + middle);
    else if (above < NEAR_PX && !following) monitor.loadOlder();
    else if (below < NEAR_PX) monitor.loadNewer();
  };
  useEffect(() => {
    if (!log.error) load();
  }, [entries, loading, rows, view, scroll]);

  // Rows that do not fill the box cannot be scrolled: there may be older ones.
  const room = view > 0 && axis.length <= view;
  useEffect(() => {
    if (room) monitor.loadOlder();
  }, [monitor, room, entries]);

  const onScroll = (element: HTMLDivElement) => {
    const { clientHeight } = element;
    if (following && clientHeight !== view) {
      // The box has another height and was scrolled by that: the reader has not left the newest entry.
      show(scrolledTo(axisOf(axis.length, clientHeight), axis.length));
      return;
    }
    const before = last.current;
    const now = scrolledBy(axis, before, element.scrollTop);
    show(now);
    const rest = axis.length - view - now.place;
    if (following && now.place < before.place - 1 && rest > AT_END_PX) monitor.follow(false);
    const wholeEnd = atEnd || !isFiltered(log.query);
    if (!following && now.place > before.place && rest <= AT_END_PX && wholeEnd) {
      monitor.follow(true);
    }
    if (log.error) load();
  };

  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape" && line !== null) monitor.chooseLine(null);
    if (event.key === "End") monitor.follow(true);
    if (event.key === "Home" && !atStart) {
      event.preventDefault();
      onStart();
    }
    if (step === undefined || entries.length === 0) return;
    event.preventDefault();
    const at = line === null ? -1 : indexOf(entries, line);
    const next = at < 0 ? entries.length - 1 : Math.min(Math.max(at + step, 0), entries.length - 1);
    if (next < entries.length - 1) monitor.follow(false);
    monitor.chooseLine(entries[next]?.seq ?? null);
  };

  const offset = scroll.place - scroll.top;
  const drawn = Array.from({ length: Math.max(0, end - first) }, (_, at) => first + at);
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
      <div class="sm-virtual" style={{ height: `${axis.height}px` }}>
        {drawn.map((row) => {
          const entry = entries[row - before];
          const top = row * ROW_PX - offset;
          if (!entry) return <LogGap key={log.first + row} seq={log.first + row} top={top} />;
          return (
            <LogRow
              key={entry.seq}
              entry={entry}
              top={top}
              chosen={entry.seq === line}
              href={writePlace({ taskId, line: entry.seq })}
              onChoose={() => monitor.chooseLine(entry.seq === line ? null : entry.seq)}
            />
          );
        })}
      </div>
      {entries.length === 0 && (
        <p class="sm-quiet sm-pad">{loading || !atStart ? "" : emptyWords(log)}</p>
      )}
    </div>
  );
}

/** A line that is not loaded yet: its number tells where the bar has come. */
function LogGap({ seq, top }: { seq: number; top: number }) {
  return (
    <div class="sm-log-gap" style={{ top: `${top}px` }} aria-hidden="true">
      {format.count(seq)}
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

function foundWords({ entries, atStart, atEnd }: LogWindow): string {
  return `${format.count(entries.length)} found${atStart && atEnd ? "" : " so far"}`;
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
