// What a person must not overlook: an error with its remedy, a stall, news that are stale.

import { clock, duration } from "../format";
import type { ErrorBody, Progress } from "../messages";
import { isStalled } from "../states";
import type { Connection } from "../stream";

export interface ErrorNoticeProps {
  error: Pick<ErrorBody, "message" | "hint">;
  testId: string;
  onClose?: () => void;
}

export function ErrorNotice({ error, testId, onClose }: ErrorNoticeProps) {
  return (
    <div class="sm-notice sm-tone-bad" role="alert" data-testid={testId}>
      <span class="sm-icon" aria-hidden="true">
        ✕
      </span>
      <span class="sm-notice-text">
        {error.message}
        {error.hint && <span class="sm-hint">{error.hint}</span>}
      </span>
      {onClose && (
        <button type="button" class="sm-button sm-button-small" onClick={onClose}>
          Dismiss
        </button>
      )}
    </div>
  );
}

/** "Stalled since 14:28:02, waiting for warehouse." */
export function StallNotice({ progress }: { progress: Progress }) {
  if (!isStalled(progress) || progress.updated_at === null) return null;
  const since = Date.parse(progress.updated_at) - progress.stalled_seconds * 1000;
  const awaited = progress.waiting_for ?? progress.current_table;
  return (
    <div
      class="sm-notice sm-tone-held"
      role="status"
      data-testid="stall"
      title={`the next commit is ${duration(progress.stalled_seconds)} overdue`}
    >
      <span class="sm-icon" aria-hidden="true">
        !
      </span>
      <span class="sm-notice-text">
        Stalled since {clock(since)}
        {awaited && `, waiting for ${awaited}`}
      </span>
    </div>
  );
}

/** "Waiting for warehouse" while a database keeps a pause or a stop from taking effect. */
export function WaitingNotice({ progress }: { progress: Progress }) {
  const { state, waiting_for: awaited } = progress;
  if (awaited === null || isStalled(progress)) return null;
  if (state !== "pausing" && state !== "stopping" && state !== "running") return null;
  return (
    <div class="sm-notice sm-tone-held" role="status" data-testid="waiting">
      <span class="sm-icon" aria-hidden="true">
        ◐
      </span>
      <span class="sm-notice-text">Waiting for {awaited}</span>
    </div>
  );
}

export function isStale({ state }: Connection): boolean {
  return state === "reconnecting";
}

export function StaleNotice({ connection }: { connection: Connection }) {
  const { state, lastNews, error } = connection;
  if (state === "ended" && error) return <ErrorNotice error={error} testId="stream-error" />;
  if (!isStale(connection)) return null;
  return (
    <div class="sm-notice sm-tone-held" role="status" data-testid="stale">
      <span class="sm-icon" aria-hidden="true">
        ⟳
      </span>
      <span class="sm-notice-text">
        {lastNews === null ? "No news yet" : `Last news ${clock(lastNews)}`}, reconnecting…
        {error && <span class="sm-hint">{error.message}</span>}
      </span>
    </div>
  );
}
