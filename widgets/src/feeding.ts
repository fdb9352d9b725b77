// Decides how a widget is fed: from the server, where the browser reaches the kernel's, or by the kernel.

import { Api } from "./api";
import type { Client } from "./browser";
import { readConfig } from "./config";
import type { Feed } from "./hub";
import { type Channel, KernelLink } from "./kernel_link";
import { pageClient } from "./page_client";

/** The server that the kernel works on, as a browser sees it. */
export interface KernelServer {
  /** The path below which it is; null where there is no server. */
  baseUrl: string | null;
  /** Its scheme, host and port, where it is another than the one that started the kernel. */
  origin: string | null;
}

/** Why the kernel feeds: it uses no server, this page is not of its server, or that one does not answer. */
export type RelayReason = "no_server" | "elsewhere" | "no_answer";

export interface Feeding {
  by: "server" | "kernel";
  /** Null where the server feeds. */
  reason: RelayReason | null;
  api: Api;
  feed: Feed;
  /** Where the page of the server is; null where the browser does not reach it. */
  pageUrl: string | null;
  /** Tells when a command waits for a busy kernel; null where none has to. */
  watchBusy: ((watcher: (busy: boolean) => void) => () => void) | null;
  close(): void;
}

export async function openFeeding(channel: Channel, server: KernelServer): Promise<Feeding> {
  const shared = sharesServer(document, location.origin, server);
  const client = shared ? await clientOf(server) : null;
  if (client) {
    channel.send({ type: "direct" });
    const pageUrl = client.api.root.replace(/api\/v1$/, "syncmon/");
    return { by: "server", reason: null, ...client, pageUrl, watchBusy: null, close: () => {} };
  }
  const link = new KernelLink(channel, "kernel/api/v1");
  const api = new Api({ baseUrl: "kernel", xsrfToken: () => null, fetch: link.fetch });
  return {
    by: "kernel",
    reason: server.baseUrl === null ? "no_server" : shared ? "no_answer" : "elsewhere",
    api,
    feed: link,
    pageUrl: null,
    watchBusy: (watcher) => link.watchBusy(watcher),
    close: () => link.close(),
  };
}

async function clientOf({ baseUrl }: KernelServer): Promise<Client | null> {
  try {
    return await pageClient(baseUrl ?? "/");
  } catch {
    return null;
  }
}

/** Whether this page was served by the server that the kernel works on. */
export function sharesServer(page: Document, origin: string, server: KernelServer): boolean {
  if (server.baseUrl === null) return false;
  if (server.origin !== null && server.origin !== origin) return false;
  try {
    return withSlash(readConfig(page).baseUrl) === withSlash(server.baseUrl);
  } catch {
    return false; // Not a page of Jupyter's: VS Code, Colab, an export.
  }
}

// The same path may be written with or without percent signs.
function withSlash(path: string): string {
  const whole = `${path.replace(/\/*$/, "")}/`;
  try {
    return decodeURIComponent(whole);
  } catch {
    return whole;
  }
}
