// The entry of the page: keeps the address and the monitor at the same place.

import { render } from "preact";
import { openClient } from "./browser";
import { readConfig } from "./config";
import { readPlace, writePlace } from "./links";
import { Monitor } from "./monitor";
import type { State } from "./state";
import { isActive } from "./states";
import { followTheme } from "./theme";
import { Page } from "./views/page";

followTheme(document.documentElement);
const { api, feed } = openClient(readConfig(document));
const monitor = new Monitor({ api, feed, scope: "all" });

const goToAddress = () => {
  const { taskId, line } = readPlace(location.hash);
  if (taskId !== null) monitor.select(taskId, line);
};

let written = "";
monitor.watch((state) => {
  if (state.selected === null) {
    const taskId = firstTask(state);
    if (taskId !== null) monitor.select(taskId);
    return;
  }
  const hash = writePlace({ taskId: state.selected, line: state.line });
  // Only a change of place is written: news that come between a click on a link and its `hashchange`
  // must not put the old address back.
  if (hash === written) return;
  written = hash;
  if (hash !== location.hash) history.replaceState(null, "", hash);
});
goToAddress();
window.addEventListener("hashchange", goToAddress);
window.addEventListener("focus", () => monitor.lookAgain());

const root = document.getElementById("syncmon");
if (root) render(<Page monitor={monitor} />, root);

/** What to show when the address names nothing: what moves, else the first. */
function firstTask({ tasks, progress }: State): string | null {
  const active = tasks?.find(({ task_id }) => isActive(progress[task_id]?.state ?? "idle"));
  return (active ?? tasks?.[0])?.task_id ?? null;
}
