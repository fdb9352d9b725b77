// The entry of the SharedWorker.

import type { Request } from "./shared_feed";
import { SharedHub } from "./shared_hub";

const SWEEP_MS = 30_000;

const hub = new SharedHub();
setInterval(() => hub.sweep(), SWEEP_MS);
self.addEventListener("connect", (event) => {
  const [port] = (event as MessageEvent).ports;
  if (!port) return;
  port.onmessage = ({ data }: MessageEvent<Request>) => hub.take(port, data);
});
