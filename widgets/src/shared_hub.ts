// The SharedWorker's side: one hub for all pages, each of which is heard through its port.

import { Hub, type Subscription } from "./hub";
import { GONE_MS, type Request } from "./shared_feed";
import { Stream } from "./stream";

/** The part of a MessagePort that is needed here. */
export interface Port {
  postMessage(message: unknown): void;
}

interface Page {
  subscription: Subscription;
  heard: number;
}

export class SharedHub {
  readonly #pages = new Map<Port, Page>();
  readonly #hub: Hub;
  #apiUrl = "";
  #xsrfToken: string | null = null;

  constructor(fetcher?: typeof fetch) {
    this.#hub = new Hub((query, listener) => {
      const url = `${this.#apiUrl}/stream${query && `?${query}`}`;
      const headers = (): Record<string, string> =>
        this.#xsrfToken ? { "X-XSRFToken": this.#xsrfToken } : {};
      return new Stream({ url, headers, ...(fetcher ? { fetch: fetcher } : {}) }, listener);
    });
  }

  /** Take what a page says, for the first time or again. */
  take(port: Port, { interest, apiUrl, xsrfToken, retry }: Request): void {
    this.#apiUrl = apiUrl;
    this.#xsrfToken = xsrfToken;
    const page = this.#pages.get(port);
    if (interest === null) {
      page?.subscription.close();
      this.#pages.delete(port);
      return;
    }
    if (page) {
      page.heard = Date.now();
      page.subscription.update(interest);
    } else {
      const subscription = this.#hub.subscribe(interest, (event) => port.postMessage(event));
      this.#pages.set(port, { subscription, heard: Date.now() });
    }
    if (retry) this.#hub.retryNow();
  }

  /** Forget the pages that went without a word. */
  sweep(): void {
    for (const [port, { subscription, heard }] of this.#pages) {
      if (Date.now() - heard < GONE_MS) continue;
      subscription.close();
      this.#pages.delete(port);
    }
  }
}
