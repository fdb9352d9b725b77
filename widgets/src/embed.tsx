// The entry of the embed view: one task's panel, which tells the page around it how high it is.

import { render } from "preact";
import { openClient } from "./browser";
import { readConfig } from "./config";
import { writePlace } from "./links";
import { Monitor } from "./monitor";
import { followTheme } from "./theme";
import { Panel } from "./views/panel";

followTheme(document.documentElement);
const config = readConfig(document);
const root = document.getElementById("syncmon");
const { taskId } = config;

if (root && taskId !== null) {
  const { api, feed } = openClient(config);
  const monitor = new Monitor({ api, feed, scope: [taskId] });
  monitor.select(taskId);
  const pageUrl = `${config.baseUrl.replace(/\/*$/, "")}/syncmon/${writePlace({ taskId, line: null })}`;
  render(<Panel monitor={monitor} taskId={taskId} pageUrl={pageUrl} />, root);
  new ResizeObserver(() => {
    const height = Math.ceil(root.getBoundingClientRect().height);
    window.parent.postMessage({ type: "syncmon-height", height }, location.origin);
  }).observe(root);
}
