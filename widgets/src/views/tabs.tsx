// Tabs, worked with arrow keys as ARIA describes them.

import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";

export interface TabsProps<T extends string> {
  tabs: readonly (readonly [id: T, word: string])[];
  current: T;
  label: string;
  onChoose: (id: T) => void;
  children: ComponentChildren;
}

export function Tabs<T extends string>(props: TabsProps<T>) {
  const { tabs, current, label, onChoose, children } = props;
  const base = useId();
  const onKeyDown = (event: KeyboardEvent & { currentTarget: HTMLElement }) => {
    const at = tabs.findIndex(([id]) => id === current);
    const next = {
      ArrowRight: (at + 1) % tabs.length,
      ArrowLeft: (at + tabs.length - 1) % tabs.length,
      Home: 0,
      End: tabs.length - 1,
    }[event.key];
    const target = next === undefined ? undefined : tabs[next];
    if (!target || next === undefined) return;
    event.preventDefault();
    onChoose(target[0]);
    const button = event.currentTarget.children[next];
    if (button instanceof HTMLElement) button.focus();
  };
  return (
    <section class="sm-tabs">
      <div class="sm-tab-list" role="tablist" aria-label={label} onKeyDown={onKeyDown}>
        {tabs.map(([id, word]) => (
          <button
            key={id}
            type="button"
            role="tab"
            id={`${base}-${id}`}
            class="sm-tab"
            data-testid={`tab-${id}`}
            aria-selected={id === current}
            aria-controls={`${base}-panel`}
            tabIndex={id === current ? 0 : -1}
            onClick={() => onChoose(id)}
          >
            {word}
          </button>
        ))}
      </div>
      <div
        class="sm-tab-panel"
        role="tabpanel"
        id={`${base}-panel`}
        aria-labelledby={`${base}-${current}`}
      >
        {children}
      </div>
    </section>
  );
}
