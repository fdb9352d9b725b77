// What the views share: the monitor's state, and the size of an element.

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Monitor } from "../monitor";
import type { State } from "../state";

const HIDDEN_MS = 1_000;

/** The monitor's state, drawn at most once a frame however fast events come. */
export function useMonitorState(monitor: Monitor): State {
  const [state, setState] = useState(monitor.state);
  useEffect(() => {
    let frame = 0;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const cancel = () => {
      cancelAnimationFrame(frame);
      clearTimeout(timer);
      timer = undefined;
    };
    const draw = () => {
      cancel();
      setState(monitor.state);
    };
    const unwatch = monitor.watch(() => {
      if (timer !== undefined) return;
      frame = requestAnimationFrame(draw);
      // A hidden page has no frames, but a title that is looked at.
      timer = setTimeout(draw, HIDDEN_MS);
    });
    draw();
    return () => {
      unwatch();
      cancel();
    };
  }, [monitor]);
  return state;
}

/** What has the focus in the document, or in the shadow tree, that `element` is in. */
export function focusedIn(element: Element): Element | null {
  const root = element.getRootNode();
  return root instanceof ShadowRoot ? root.activeElement : document.activeElement;
}

export interface Size {
  width: number;
  height: number;
}

/** A ref and the size of its element, kept up to date. */
export function useSize<E extends HTMLElement>() {
  const ref = useRef<E>(null);
  const [size, setSize] = useState<Size>({ width: 0, height: 0 });
  useLayoutEffect(() => {
    const element = ref.current;
    if (!element) return;
    const measure = () => {
      const { clientWidth: width, clientHeight: height } = element;
      setSize((old) => (old.width === width && old.height === height ? old : { width, height }));
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return [ref, size] as const;
}
