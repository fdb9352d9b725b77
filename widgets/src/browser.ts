// Joins the client to this browser page: its cookie, its URL, its coming and going.

import { Api } from "./api";
import { type PageConfig, readCookie } from "./config";
import { EventSourceStream, fetchCanStream } from "./eventsource";
import { Hub } from "./hub";
import { Stream } from "./stream";

export interface Client {
  api: Api;
  feed: Hub;
}

export function openClient({ baseUrl }: PageConfig): Client {
  const xsrfToken = () => readCookie(document.cookie, "_xsrf");
  const api = new Api({ baseUrl, xsrfToken });
  const feed = new Hub((query, listener) => {
    const url = api.url("stream", new URLSearchParams(query));
    return fetchCanStream()
      ? new Stream({ url, headers: () => api.headers() }, listener)
      : new EventSourceStream(url, xsrfToken, listener);
  });
  // A page in the back-forward cache must hold no connection, and goes on when it is shown again.
  window.addEventListener("pagehide", () => feed.sleep());
  window.addEventListener("pageshow", () => feed.wake());
  window.addEventListener("online", () => feed.retryNow());
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") feed.retryNow();
  });
  return { api, feed };
}
