// The one client of a browser page, which all its monitors share whatever module they come from.

import { type Client, openClient } from "./browser";
import { readConfig, readCookie } from "./config";

/** Changes when what is shared between the modules of two releases does. */
const SHARED = Symbol.for("syncmon.client.1");

type Clients = Map<string, Promise<Client | null>>;

/** The client of the server at `baseUrl`; null where no syncmon answers there. */
export function pageClient(baseUrl: string): Promise<Client | null> {
  // Each widget is a module of its own: only the page's global object is common to them.
  const page = globalThis as unknown as Record<symbol, Clients | undefined>;
  page[SHARED] ??= new Map();
  const clients = page[SHARED];
  const known = clients.get(baseUrl);
  if (known) return known;
  const found = findClient(baseUrl);
  clients.set(baseUrl, found);
  const forget = () => {
    if (clients.get(baseUrl) === found) clients.delete(baseUrl);
  };
  found.then((client) => client ?? forget(), forget);
  return found;
}

/** Ask syncmon's own page, which says where the script of the shared stream is. */
async function findClient(baseUrl: string): Promise<Client | null> {
  const token = readCookie(document.cookie, "_xsrf");
  const response = await fetch(`${baseUrl.replace(/\/*$/, "")}/syncmon/`, {
    headers: token ? { "X-XSRFToken": token } : {},
    credentials: "same-origin",
    redirect: "manual",
  });
  if (!response.ok) return null;
  const config = readConfig(new DOMParser().parseFromString(await response.text(), "text/html"));
  return config.workerUrl === null ? null : openClient(config);
}
