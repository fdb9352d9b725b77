// Puts the live panel in place of the table, where this is Jupyter and its server knows the task.
(() => {
  const script = document.currentScript;
  const root = script?.closest(".syncmon-task");
  const data = document.getElementById("jupyter-config-data")?.textContent;
  if (!root || !data) return;
  let base;
  try {
    base = JSON.parse(data).baseUrl || "/";
  } catch {
    return;
  }
  const task = encodeURIComponent(root.dataset.task);
  const at = (path) => `${base.replace(/\/*$/, "")}/${path}`;
  const link = root.querySelector("a.syncmon-link");
  if (link) link.href = at(`syncmon/#task=${task}`);
  const xsrf = document.cookie.match(/(?:^|;\s*)_xsrf=([^;]*)/)?.[1];
  fetch(at(`api/v1/tasks/${task}/progress`), {
    credentials: "same-origin",
    headers: xsrf ? { "X-XSRFToken": xsrf } : {},
  })
    .then((answer) => {
      if (!answer.ok || !root.isConnected) return;
      if (answer.headers.get("Content-Security-Policy")?.includes("frame-ancestors 'none'")) {
        // JupyterHub forbids frames: draw into this page instead.
        root.dataset.inline = "";
        const inline = document.createElement("script");
        inline.src = at("syncmon/static/inline.js");
        inline.onload = () => inline.remove();
        document.head.append(inline);
        return;
      }
      const frame = document.createElement("iframe");
      frame.src = at(`syncmon/embed/${task}`);
      frame.title = `syncmon: ${root.dataset.task}`;
      frame.dataset.syncmon = "";
      frame.style.cssText = "display:block;width:100%;height:150px;border:0";
      root.replaceChildren(frame);
    })
    .catch(() => {});
  if (window.syncmonFrames) return;
  window.syncmonFrames = true;
  // One listener for all panels of the page: it finds the frame that speaks.
  window.addEventListener("message", (event) => {
    if (event.origin !== location.origin || event.data?.type !== "syncmon-height") return;
    const height = Number(event.data.height);
    if (!(height > 0 && height < 5000)) return;
    for (const frame of document.querySelectorAll("iframe[data-syncmon]")) {
      if (frame.contentWindow === event.source) frame.style.height = `${Math.ceil(height)}px`;
    }
  });
})();
