// The widget's entry, in the shape that anywidget wants: draws a model into an element.

import { render } from "preact";
import { type Feeding, type KernelServer, openFeeding } from "./feeding";
import type { Channel } from "./kernel_link";
import type { Progress } from "./messages";
import { Monitor } from "./monitor";
import { ownRoot } from "./own_root";
import { Widget } from "./views/widget";

/** What the kernel knew when it made the widget: shown until there is something newer. */
interface Known {
  progress: Progress[];
}

interface Traits {
  _server: KernelServer;
  _scope: string[] | null;
  _known: Known;
  _hearing: string;
  selected: string | null;
  fed_by: string;
}

interface Model extends Channel {
  get<K extends keyof Traits>(name: K): Traits[K];
  set<K extends keyof Traits>(name: K, value: Traits[K]): void;
  save_changes(): void;
  on(event: string, listener: (message: unknown) => void): void;
  off(event: string, listener: (message: unknown) => void): void;
}

interface RenderProps {
  model: Model;
  el: HTMLElement;
}

function draw({ model, el }: RenderProps): () => void {
  el.dataset.testid = "syncmon-widget";
  const { root, remove } = ownRoot(el);
  let stop: (() => void) | null = null;
  let gone = false;
  void openFeeding(model, model.get("_server")).then((feeding) => {
    if (gone) feeding.close();
    else stop = show(model, root, feeding);
  });
  return () => {
    gone = true;
    stop?.();
    remove();
  };
}

function show(model: Model, root: ShadowRoot, feeding: Feeding): () => void {
  const { api, feed, by, reason, pageUrl, watchBusy } = feeding;
  const scope = model.get("_scope") ?? "all";
  const monitor = new Monitor({ api, feed, scope });
  for (const progress of model.get("_known").progress) monitor.learn(progress);
  const follow = () => monitor.select(model.get("selected"));
  follow();
  model.on("change:selected", follow);
  const choose = (taskId: string) => {
    model.set("selected", taskId);
    model.save_changes();
    monitor.select(taskId);
  };
  if (model.get("fed_by") !== by) {
    model.set("fed_by", by);
    model.save_changes();
  }
  render(
    <Widget
      monitor={monitor}
      single={scope !== "all" && scope.length === 1}
      fedBy={by}
      reason={reason}
      watchBusy={watchBusy}
      hearing={model.get("_hearing")}
      pageUrl={pageUrl}
      onChoose={choose}
    />,
    root,
  );
  return () => {
    render(null, root);
    model.off("change:selected", follow);
    monitor.close();
    feeding.close();
  };
}

export default { render: draw };
