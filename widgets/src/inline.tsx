// Draws panels into the notebook's own page, where the server forbids frames, as JupyterHub does.

import { render } from "preact";
import { readConfig } from "./config";
import { writePlace } from "./links";
import { Monitor } from "./monitor";
import { ownRoot } from "./own_root";
import { pageClient } from "./page_client";
import { Panel } from "./views/panel";

const GONE_CHECK_MS = 2_000;

async function draw(place: HTMLElement, taskId: string): Promise<void> {
  const { baseUrl } = readConfig(document);
  const client = await pageClient(baseUrl);
  if (!client) return;
  place.replaceChildren();
  const { root, remove } = ownRoot(place);
  const monitor = new Monitor({ ...client, scope: [taskId] });
  monitor.select(taskId);
  const page = `${baseUrl.replace(/\/*$/, "")}/syncmon/${writePlace({ taskId, line: null })}`;
  render(<Panel monitor={monitor} taskId={taskId} pageUrl={page} />, root);
  // An output is thrown away without a word.
  const timer = setInterval(() => {
    if (place.isConnected) return;
    clearInterval(timer);
    render(null, root);
    monitor.close();
    remove();
  }, GONE_CHECK_MS);
}

for (const place of document.querySelectorAll<HTMLElement>(".syncmon-task[data-inline]")) {
  delete place.dataset.inline;
  if (place.dataset.task) void draw(place, place.dataset.task);
}
