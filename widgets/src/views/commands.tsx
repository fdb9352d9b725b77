// The buttons: start, pause, resume, stop, and the question before something is discarded.

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { type Discard, discardedByFresh, discardedByStop } from "../discard";
import type { Progress, Task } from "../messages";
import type { Monitor } from "../monitor";
import { allowed, type Command, isResumable } from "../states";
import { Dialog } from "./dialog";
import { focusedIn } from "./hooks";

export interface CommandsProps {
  monitor: Monitor;
  task: Task | undefined;
  progress: Progress;
  pressed: Command | undefined;
  compact: boolean;
}

type Question = "stop" | "fresh";

export function Commands({ monitor, task, progress, pressed, compact }: CommandsProps) {
  const [question, setQuestion] = useState<Question | null>(null);
  const group = useKeptFocus<HTMLDivElement>();
  const { state, task_id: taskId } = progress;
  const may = allowed(progress);
  const busy = pressed !== undefined || state === "pausing" || state === "stopping";
  const send = (command: Command) => void monitor.command(taskId, command);
  const pausing = pressed === "pause" || state === "pausing";
  const stopping = pressed === "stop" || state === "stopping";
  const starting = pressed === "start";
  const resumes = isResumable(state);
  // The run may end while the question is open: then there is nothing to ask.
  const canStop = may.includes("stop");
  useEffect(() => {
    if (!canStop) setQuestion((asked) => (asked === "stop" ? null : asked));
  }, [canStop]);
  const canStart = may.includes("start") || starting;
  const canPause = may.includes("pause") || pausing;
  const pause: ButtonProps = {
    name: "pause",
    busy,
    label: pausing ? "Pausing…" : "Pause",
    onPress: () => send("pause"),
  };
  const start: ButtonProps = {
    name: "start",
    busy,
    primary: true,
    label: starting ? (resumes ? "Resuming…" : "Starting…") : resumes ? "Resume" : "Start",
    onPress: () => send("start"),
  };
  // Start and Pause take turns in one place, and so keep the focus.
  const first = canStart ? start : canPause ? pause : null;
  return (
    <>
      <div ref={group} class="sm-commands" role="group" aria-label="Control">
        {first && <Button {...first} />}
        {canStart && canPause && <Button {...pause} />}
        {canStart && resumes && !compact && progress.kind !== "loop" && (
          <Button
            name="fresh"
            busy={busy}
            label="Start fresh…"
            onPress={() => !busy && setQuestion("fresh")}
          />
        )}
        {(canStop || stopping) && (
          <Button
            name="stop"
            busy={stopping || starting}
            label={stopping ? "Stopping…" : "Stop…"}
            onPress={() => !stopping && !starting && setQuestion("stop")}
          />
        )}
      </div>
      {question === "stop" && (
        <Dialog
          title={`Stop ${progress.name}?`}
          yes="Stop"
          inline={compact}
          onAnswer={(agreed) => {
            setQuestion(null);
            if (agreed) send("stop");
          }}
        >
          <Consequences {...discardedByStop(task, progress)} />
        </Dialog>
      )}
      {question === "fresh" && (
        <Dialog
          title={`Start ${progress.name} fresh?`}
          yes="Start fresh"
          inline={compact}
          onAnswer={(agreed) => {
            setQuestion(null);
            if (agreed) void monitor.command(taskId, "start", { fresh: true });
          }}
        >
          <Consequences {...discardedByFresh(progress)} />
        </Dialog>
      )}
    </>
  );
}

interface ButtonProps {
  name: string;
  label: string;
  busy: boolean;
  primary?: boolean;
  onPress: () => void;
}

// `aria-disabled` and not `disabled`: a button that is pressed must not lose the focus.
function Button({ name, label, busy, primary = false, onPress }: ButtonProps) {
  return (
    <button
      type="button"
      class={`sm-button${primary ? " sm-button-primary" : ""}`}
      data-testid={`command-${name}`}
      aria-disabled={busy}
      onClick={({ detail }) => {
        // The second click of a double click may find another button under it: Resume where Pause was.
        if (detail < 2) onPress();
      }}
    >
      {label}
    </button>
  );
}

/** A group of buttons that keeps the focus when the one that has it goes. */
function useKeptFocus<E extends HTMLElement>() {
  const group = useRef<E>(null);
  const focused = useRef<Element | null>(null);
  useLayoutEffect(() => {
    const { current: element } = group;
    if (!element) return;
    const lost = focused.current !== null && !focused.current.isConnected;
    const active = focusedIn(element);
    if (lost && (active === null || active === document.body)) {
      element.querySelector("button")?.focus();
    }
    const now = focusedIn(element);
    focused.current = element.contains(now) ? now : null;
  });
  return group;
}

function Consequences({ lost, kept }: Discard) {
  return (
    <>
      <p>{lost}</p>
      <p>{kept}</p>
    </>
  );
}
