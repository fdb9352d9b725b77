// What the server wrote into the page: the base URL, and which view to show.

export interface PageConfig {
  baseUrl: string;
  /** The task of an embed view; null on the page. */
  taskId: string | null;
  /** Where the SharedWorker's script is; null where the page is not syncmon's own. */
  workerUrl: string | null;
}

/** Read `#jupyter-config-data`, which JupyterLab, Notebook and syncmon's own page all carry. */
export function readConfig(document: Document): PageConfig {
  const text = document.getElementById("jupyter-config-data")?.textContent;
  if (!text) throw new Error("this page carries no #jupyter-config-data");
  const data = JSON.parse(text) as {
    baseUrl?: string;
    syncmonTask?: string | null;
    syncmonWorker?: string;
  };
  return {
    baseUrl: data.baseUrl ?? "/",
    taskId: data.syncmonTask ?? null,
    workerUrl: data.syncmonWorker ?? null,
  };
}

/** The value of a cookie, or null. */
export function readCookie(cookies: string, name: string): string | null {
  for (const part of cookies.split(";")) {
    const at = part.indexOf("=");
    if (at > 0 && part.slice(0, at).trim() === name) return part.slice(at + 1).trim();
  }
  return null;
}
