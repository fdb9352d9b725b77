// Light or dark for a widget that stands in a page of others: as that page is.

import type { Theme } from "./theme";

/** What a host says of its theme; null where it says nothing. */
export function hostTheme(page: Document): Theme | null {
  const { body, documentElement: root } = page;
  if (body.dataset.jpThemeLight) return body.dataset.jpThemeLight === "false" ? "dark" : "light";
  const { vscodeThemeKind: kind } = body.dataset;
  if (kind) return kind.endsWith("light") ? "light" : "dark";
  const said = root.getAttribute("theme") ?? root.dataset.theme; // Colab
  return said === "dark" || said === "light" ? said : null;
}

/** Keep `element` in the theme of the page around it; returns how to stop. */
export function followHostTheme(element: HTMLElement): () => void {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    element.dataset.theme = hostTheme(document) ?? (dark.matches ? "dark" : "light");
  };
  apply();
  dark.addEventListener("change", apply);
  const observer = new MutationObserver(apply);
  const attributeFilter = ["data-jp-theme-light", "data-vscode-theme-kind", "theme", "data-theme"];
  for (const host of [document.body, document.documentElement]) {
    observer.observe(host, { attributes: true, attributeFilter });
  }
  return () => {
    dark.removeEventListener("change", apply);
    observer.disconnect();
  };
}
