"""How long Pause and Stop take beside a busy cell, from the click to the word in panel and widget.

    python -m benchmarks.buttons [--clicks 24] [--tasks throttled fast]

A cell of JupyterLab sleeps while a copy is paused, resumed, stopped and started by its buttons, at moments
that differ from click to click. The clicks and what is shown are timed in the browser, in all frames on
one clock. ``throttled`` is a slow copy in small chunks; ``fast`` copies a table of many rows at full
speed, in chunks that take as long as syncmon makes them.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sqlite3
import statistics
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from tests.browser.conftest import ARGUMENTS
from tests.browser.notebooks import CONNECT, Notebook, notebook_site, shows
from tests.browser.site import Site, until

SEED = 2013
TASKS = ("throttled", "fast")
PLACES = ("widget", "panel")
COMMANDS = {"pause": ("pausing", "paused"), "stop": ("stopping", "stopped")}
LIMIT_SECONDS = 2.0
FAST_ROWS = 12_000_000

# Notes when a command's button was pressed last, and when each state was shown, in every frame.
NOTE = """
const now = () => (performance.timeOrigin + performance.now()) / 1000;
window.noted = [];
addEventListener("click", event => {
  const ids = event.composedPath().map(element => element.dataset?.testid);
  if (ids.includes("command-pause") || ids.includes("dialog-yes")) noted.push(["click", now()]);
}, true);
const seen = new WeakMap();
const watch = root => new MutationObserver(() => {
  for (const mark of root.querySelectorAll(".sm-panel-head .sm-state")) {
    const { state } = mark.dataset;
    if (seen.get(mark) === state) continue;
    seen.set(mark, state);
    requestAnimationFrame(() => noted.push([state, now()]));
  }
}).observe(root, { subtree: true, childList: true, attributes: true });
watch(document);
const attach = Element.prototype.attachShadow;
Element.prototype.attachShadow = function (options) {
  const root = attach.call(this, options);
  watch(root);
  return root;
};
"""


def clicked(opened: Notebook, place: str, command: str) -> dict[str, float]:
    """Press a button in the panel or the widget: the seconds until its words were seen in both."""
    for frame in opened.page.frames:
        frame.evaluate("window.noted = []")
    where = opened.widget() if place == "widget" else opened.panel()
    where.get_by_test_id(f"command-{command}").click()
    if command == "stop":
        where.get_by_test_id("dialog-yes").click()
    on_the_way, there = COMMANDS[command]
    shows(opened.widget(), there, 30)
    shows(opened.panel(), there, 30)
    opened.page.wait_for_timeout(50)
    notes = [tuple(note) for frame in opened.page.frames for note in frame.evaluate("noted")]
    began = min(at for what, at in notes if what == "click")
    words = [(what, at - began) for what, at in notes if what in (on_the_way, there)]
    return {
        "acknowledged": min(after for _, after in words),
        "effective": max(after for what, after in words if what == there),
        "began": began,
    }


def press_start(opened: Notebook, site: Site, task: str, dice: random.Random) -> None:
    """Start from the widget, and let it copy for a while of no particular length."""
    opened.widget().get_by_test_id("command-start").click()
    shows(opened.widget(), "running", 30)
    until(lambda: "big" in running_tables(site, task), "a table that is copied")
    opened.page.wait_for_timeout(dice.uniform(0, 1500))


def running_tables(site: Site, task: str) -> set[str]:
    """The tables that are being copied now."""
    units = site.progress(task)["units"]
    return {unit["table"] for unit in units if unit["state"] == "running"}


def recorded(site: Site, task: str, began: float) -> float:
    """When the worker wrote that it obeyed, after the click."""
    return datetime.fromisoformat(site.progress(task)["updated_at"]).timestamp() - began


def measure(page: Page, site: Site, task: str, clicks: int) -> bool:
    """Click, and print; True where all were in effect in time."""
    dice = random.Random(SEED)  # moments, not secrets
    opened = Notebook(page, site)
    opened.open(
        f"{task}.ipynb",
        f"{CONNECT}task = sm.task('{task}').start()\ntask",
        "task.monitor()",
        "import time\ntime.sleep(3600)",
    )
    opened.run_all()
    shows(opened.widget(), "running", 60)
    shows(opened.panel(), "running", 60)
    found: dict[str, list[dict[str, float]]] = {command: [] for command in COMMANDS}
    for number in range(clicks):
        for command in COMMANDS:
            if number or command == "stop":
                press_start(opened, site, task, dice)
            place = PLACES[(number + (command == "stop")) % 2]
            times = clicked(opened, place, command)
            times["recorded"] = recorded(site, task, times["began"])
            found[command].append(times)
    assert opened.is_busy()
    opened.close()
    for command, all_times in found.items():
        for what in ("acknowledged", "recorded", "effective"):
            times = sorted(each[what] for each in all_times)
            print(
                f"{task:10} {command:6} {what:13} min {times[0]:.2f}  "
                f"median {statistics.median(times):.2f}  max {times[-1]:.2f} s  "
                f"({len(times)} clicks)", flush=True
            )  # fmt: skip
    return all(t["effective"] < LIMIT_SECONDS for times in found.values() for t in times)


def make_fast(site: Site) -> None:
    """The table that is copied at full speed."""
    source = sqlite3.connect(site.folder / "fast_source.db")
    source.execute("CREATE TABLE big (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
    source.execute(
        "INSERT INTO big WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
        "WHERE i < ?) SELECT i, 'row ' || i FROM n",
        (FAST_ROWS,),
    )
    source.commit()
    source.close()
    site.call("GET", "tasks")
    text = site.config.read_text()
    site.config.write_text(
        f'{text}\n[connections.fast_source]\nurl = "sqlite:///fast_source.db"\n'
        '[connections.fast]\nurl = "sqlite:///fast.db"\n'
        '[tasks.fast]\nsource = "fast_source"\ntarget = "fast"\ntables = ["big"]\n'
    )
    until(lambda: "fast" in {t["task_id"] for t in site.call("GET", "tasks")["tasks"]}, "the task")


def main() -> int:
    """Measure both kinds of copies."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.buttons", description=__doc__)
    options.add_argument("--clicks", type=int, default=24)
    options.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    chosen: Any = options.parse_args()
    in_time = True
    with (
        tempfile.TemporaryDirectory() as name,
        notebook_site(Path(name) / "site", "throttled") as site,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=ARGUMENTS
        )
        for task in chosen.tasks:
            if task == "fast":
                make_fast(site)
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.add_init_script(NOTE)
            began = time.monotonic()
            in_time &= measure(page, site, task, chosen.clicks)
            print(f"{task}: measured for {time.monotonic() - began:.0f} s")
        browser.close()
    return 0 if in_time else 1


if __name__ == "__main__":
    raise SystemExit(main())
