// JupyterLab's entry to syncmon: a launcher card and a command that open the page in a tab.
// A module-federation container written by hand: it shares JupyterLab's own modules and needs no build.
(() => {
  const COMMAND = "syncmon:open";
  const ICON =
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 22 22">' +
    '<g class="jp-icon3" fill="#616161"><rect x="3" y="4" width="16" height="3"/>' +
    '<rect x="3" y="10" width="11" height="3"/><rect x="3" y="16" width="6" height="3"/></g></svg>';
  let shared = {};

  /** A module that the application shares: the newest of the versions that it has. */
  async function load(name) {
    const versions = shared[name] ?? {};
    const newest = Object.keys(versions).sort((a, b) =>
      a.localeCompare(b, undefined, { numeric: true }),
    );
    const version = versions[newest.at(-1)];
    if (!version) throw new Error(`syncmon: the application does not share ${name}`);
    return (await version.get())();
  }

  /** The page in a frame, as a widget of the main area. */
  function pageWidget(pageUrl, { MainAreaWidget, Widget, icon }) {
    const content = new Widget();
    const frame = document.createElement("iframe");
    frame.src = pageUrl;
    frame.title = "syncmon";
    frame.style.cssText = "width:100%;height:100%;border:0";
    content.node.append(frame);
    const widget = new MainAreaWidget({ content });
    widget.id = "syncmon-page";
    widget.title.label = "syncmon";
    widget.title.icon = icon;
    widget.title.closable = true;
    return widget;
  }

  /** Whether the server lets its pages stand in a frame: JupyterHub does not. */
  async function mayFrame(url) {
    const token = document.cookie.match(/(?:^|;\s*)_xsrf=([^;]*)/)?.[1];
    const headers = token ? { "X-XSRFToken": token } : {};
    const answer = await fetch(url, { method: "HEAD", headers }).catch(() => null);
    const policy = answer?.headers.get("Content-Security-Policy");
    return !policy?.includes("frame-ancestors 'none'");
  }

  async function plugins() {
    const [apputils, coreutils, ui, lumino, launcherModule] = await Promise.all([
      load("@jupyterlab/apputils"),
      load("@jupyterlab/coreutils"),
      load("@jupyterlab/ui-components"),
      load("@lumino/widgets"),
      // Notebook 7 has no launcher, and may not share its module.
      load("@jupyterlab/launcher").catch(() => null),
    ]);
    const icon = new ui.LabIcon({ name: "syncmon:icon", svgstr: ICON });
    const optional = [apputils.ICommandPalette, launcherModule?.ILauncher].filter(Boolean);

    function activate(app, palette, launcher) {
      let widget = null;
      app.commands.addCommand(COMMAND, {
        label: "Copies and loops (syncmon)",
        caption: "Open syncmon: the tasks that copy database tables, live",
        icon,
        execute: async () => {
          const url = coreutils.URLExt.join(coreutils.PageConfig.getBaseUrl(), "syncmon/");
          // A page of Notebook 7 shows one document: another tab of the browser is its tab.
          if (app.name !== "JupyterLab" || !(await mayFrame(url))) {
            window.open(url, "syncmon");
            return;
          }
          if (!widget || widget.isDisposed) {
            widget = pageWidget(url, { ...apputils, ...lumino, icon });
            app.shell.add(widget, "main");
          }
          app.shell.activateById(widget.id);
        },
      });
      palette?.addItem({ command: COMMAND, category: "syncmon" });
      launcher?.add({ command: COMMAND, category: "Other", rank: 50 });
    }

    return [
      {
        id: "syncmon:entry",
        description: "Opens syncmon's page.",
        autoStart: true,
        optional,
        activate,
      },
    ];
  }

  window._JUPYTERLAB = window._JUPYTERLAB ?? {};
  window._JUPYTERLAB.syncmon = {
    init: (scope) => {
      shared = scope;
    },
    get: async (module) => {
      if (module !== "./extension") throw new Error(`syncmon has no module ${module}`);
      const found = { __esModule: true, default: await plugins() };
      return () => found;
    },
  };
})();
