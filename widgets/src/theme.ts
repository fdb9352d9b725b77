// Light or dark: by the address, else as the surrounding JupyterLab, else as the system prefers.

export type Theme = "light" | "dark";

// What the style sheet takes from JupyterLab's theme.
const JUPYTER_VARIABLES = [
  "--jp-layout-color0",
  "--jp-layout-color1",
  "--jp-layout-color2",
  "--jp-border-color1",
  "--jp-border-color2",
  "--jp-ui-font-color0",
  "--jp-ui-font-color1",
  "--jp-ui-font-family",
  "--jp-ui-font-size1",
  "--jp-code-font-family",
] as const;

export function askedTheme(search: string): Theme | null {
  const asked = new URLSearchParams(search).get("theme");
  return asked === "light" || asked === "dark" ? asked : null;
}

/** Keep the document in the right theme from now on. */
export function followTheme(root: HTMLElement): void {
  const asked = askedTheme(location.search);
  if (asked) {
    root.dataset.theme = asked;
    return;
  }
  const host = jupyterBody();
  if (host) {
    const copy = () => copyTheme(host, root);
    copy();
    new MutationObserver(copy).observe(host, {
      attributes: true,
      attributeFilter: ["data-jp-theme-light", "data-jp-theme-name"],
    });
    return;
  }
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    root.dataset.theme = dark.matches ? "dark" : "light";
  };
  apply();
  dark.addEventListener("change", apply);
}

/** The body of the JupyterLab that holds this frame; null where there is none or it is not ours to read. */
function jupyterBody(): HTMLElement | null {
  if (window.parent === window) return null;
  try {
    const { body } = window.parent.document;
    return body.dataset.jpThemeLight === undefined ? null : body;
  } catch {
    return null;
  }
}

function copyTheme(host: HTMLElement, root: HTMLElement): void {
  root.dataset.theme = host.dataset.jpThemeLight === "false" ? "dark" : "light";
  const style = getComputedStyle(host);
  for (const name of JUPYTER_VARIABLES) root.style.setProperty(name, style.getPropertyValue(name));
}
