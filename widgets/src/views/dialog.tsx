// A question that is asked once: modal on the page, in line where the panel is too small for a modal.

import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { focusedIn } from "./hooks";

export interface DialogProps {
  title: string;
  yes: string;
  inline: boolean;
  children: ComponentChildren;
  onAnswer: (agreed: boolean) => void;
}

export function Dialog({ title, yes, inline, children, onAnswer }: DialogProps) {
  const ref = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  const textId = useId();
  useEffect(() => {
    const dialog = ref.current;
    if (!dialog) return;
    const before = focusedIn(dialog);
    if (inline) dialog.show();
    else dialog.showModal();
    return () => {
      dialog.close();
      if (before instanceof HTMLElement) before.focus();
    };
  }, [inline]);
  return (
    <dialog
      ref={ref}
      class={`sm-dialog${inline ? " sm-dialog-inline" : ""}`}
      role="alertdialog"
      aria-labelledby={titleId}
      aria-describedby={textId}
      data-testid="dialog"
      onCancel={(event) => {
        event.preventDefault();
        onAnswer(false);
      }}
      onKeyDown={(event) => {
        if (event.key === "Escape") onAnswer(false);
      }}
    >
      <h2 id={titleId}>{title}</h2>
      <div id={textId}>{children}</div>
      <div class="sm-dialog-buttons">
        <button type="button" class="sm-button" onClick={() => onAnswer(false)}>
          Cancel
        </button>
        <button
          type="button"
          class="sm-button sm-button-danger"
          data-testid="dialog-yes"
          onClick={() => onAnswer(true)}
        >
          {yes}
        </button>
      </div>
    </dialog>
  );
}
