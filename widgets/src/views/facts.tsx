// The line of facts: how fast, how long still, how long already, what limits.

import * as format from "../format";
import type { HistorySample, Progress } from "../messages";
import { isActive, isStalled, nounOf, speedNow } from "../states";
import { Sparkline } from "./chart";

export function speedOf(sample: HistorySample): number | null {
  return sample.speed;
}

export interface FactsProps {
  progress: Progress;
  /** For a sparkline behind the speed; null for none. */
  samples: readonly HistorySample[] | null;
}

export function Facts({ progress, samples }: FactsProps) {
  const { speed_bytes, elapsed_seconds, limited_by, consistency, state } = progress;
  const active = isActive(state) && !isStalled(progress);
  const speed = speedNow(progress);
  const noun = nounOf(progress);
  const left = active ? leftWords(progress) : null;
  return (
    <ul class="sm-facts sm-dims" data-testid="facts">
      {speed !== null && (
        <li data-testid="speed" title={`${format.count(speed)} ${noun}s/s`}>
          {format.rate(speed, noun)}
          {samples && samples.length > 1 && <Sparkline samples={samples} measure={speedOf} />}
        </li>
      )}
      {active && speed_bytes !== null && !samples && <li>{format.bytes(speed_bytes)}/s</li>}
      {left && (
        <li data-testid="eta" title={exactLeft(progress)}>
          {left}
        </li>
      )}
      {elapsed_seconds > 0 && (
        <li data-testid="elapsed" title={`${elapsed_seconds.toFixed(1)} s, pauses excluded`}>
          {format.duration(elapsed_seconds)}
          {!samples && " elapsed"}
        </li>
      )}
      {progress.bytes_committed > 0 && !samples && (
        <li title={`${format.count(progress.bytes_committed)} bytes`}>
          {format.bytes(progress.bytes_committed)} copied
        </li>
      )}
      {active && limited_by && <li data-testid="limited-by">limited by {limited_by}</li>}
      {consistency && !samples && <li data-testid="consistency">{consistency}</li>}
    </ul>
  );
}

export function leftWords(progress: Progress): string | null {
  const { eta_low_seconds, eta_seconds, eta_high_seconds } = progress;
  return format.timeLeft(eta_low_seconds, eta_seconds, eta_high_seconds);
}

function exactLeft({ eta_low_seconds, eta_seconds, eta_high_seconds }: Progress): string {
  const words = (seconds: number | null) =>
    seconds === null ? "unknown" : format.duration(seconds);
  return `between ${words(eta_low_seconds)} and ${words(eta_high_seconds)}, most likely ${words(eta_seconds)}`;
}
