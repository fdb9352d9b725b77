// A shadow root: neither the page's style sheets nor ours reach the other's elements.

import { followHostTheme } from "./host_theme";
import pageStyle from "./page.css";
import widgetStyle from "./widget.css";

export interface OwnRoot {
  root: ShadowRoot;
  remove(): void;
}

/** Put an element with a root of its own into `parent`, in the theme of the page. */
export function ownRoot(parent: HTMLElement): OwnRoot {
  const host = parent.appendChild(document.createElement("div"));
  // Keys pressed in a field here are text, not the notebook's commands: the host is what they go to.
  host.dataset.lmSuppressShortcuts = "true";
  const root = host.attachShadow({ mode: "open" });
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(pageStyle + widgetStyle);
  root.adoptedStyleSheets = [sheet];
  const forgetTheme = followHostTheme(host);
  return {
    root,
    remove: () => {
      forgetTheme();
      host.remove();
    },
  };
}
