// Joins the client to this browser page: its cookie, its URL, its coming and going.

import { Api } from "./api";
import { type PageConfig, readCookie } from "./config";
import { EventSourceStream, fetchCanStream } from "./eventsource";
import { Hub } from "./hub";
import { type PageFeed, SharedFeed } from "./shared_feed";
import { Stream } from "./stream";

export interface Client {
  api: Api;
  feed: PageFeed;
}

export function openClient({ baseUrl, workerUrl }: PageConfig): Client {
  const xsrfToken = () => readCookie(document.cookie, "_xsrf");
  const api = new Api({ baseUrl, xsrfToken });
  const ownHub = () =>
    new Hub((query, listener) => {
      const url = api.url("stream", new URLSearchParams(query));
      return fetchCanStream()
        ? new Stream({ url, headers: () => api.headers() }, listener)
        : new EventSourceStream(url, xsrfToken, listener);
    });
  const feed =
    workerUrl !== null && typeof SharedWorker === "function" && fetchCanStream()
      ? new SharedFeed({
          workerUrl: withToken(workerUrl, xsrfToken()),
          apiUrl: api.root,
          xsrfToken,
          fallback: ownHub,
        })
      : ownHub();
  // A page in the back-forward cache must hold no connection, and goes on when it is shown again.
  window.addEventListener("pagehide", () => feed.sleep());
  window.addEventListener("pageshow", ({ persisted }) => {
    if (persisted) feed.wake();
  });
  window.addEventListener("online", () => feed.retryNow());
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") feed.retryNow();
  });
  return { api, feed };
}

/** A worker's script is fetched without headers of ours: JupyterHub finds its token in the address. */
function withToken(url: string, token: string | null): string {
  if (!token) return url;
  return `${url}${url.includes("?") ? "&" : "?"}_xsrf=${encodeURIComponent(token)}`;
}
