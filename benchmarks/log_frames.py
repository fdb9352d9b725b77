"""How smooth a long log is in a real Chromium, on the page and in the widget of a notebook.

    python -m benchmarks.log_frames [--entries 1000000] [--places page widget]

A finished run has so many log entries in the store. The log is scrolled with the wheel, its scroll bar is
dragged through all of it and dropped in places, and it is filtered and searched. Printed are the times
between frames (one every 16.7 ms at best), the rows in the document, how long a dropped bar, a filter, a
search that must read the whole log, and the way to the first line take until their lines are drawn, and
what the page's scripts hold in memory before and after.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, ViewportSize, sync_playwright

from tests.browser.conftest import ARGUMENTS
from tests.browser.long_log import NEEDLE, make_log
from tests.browser.notebooks import CONNECT, Notebook, notebook_site
from tests.browser.site import Site

TASK = "long"
SEED, DROPS = 2013, 40
PLACES = ("page", "widget")
HEAP = ["--js-flags=--expose-gc", "--enable-precise-memory-info"]
VIEWPORT: ViewportSize = {"width": 1280, "height": 860}

# Notes the time between frames, and the most rows that were in the document, until told to stop.
RECORD = """box => {
  const found = { deltas: [], rows: 0, going: true };
  box.recorded = found;
  let last = performance.now();
  const frame = now => {
    found.deltas.push(now - last);
    last = now;
    found.rows = Math.max(found.rows, box.querySelectorAll('.sm-log-row, .sm-log-gap').length);
    if (found.going) requestAnimationFrame(frame);
  };
  requestAnimationFrame(now => { last = now; requestAnimationFrame(frame); });
}"""
CLICK = "button => button.click()"
RECORDED = "box => { box.recorded.going = false; return box.recorded; }"

# Drags the scroll bar from the bottom to the top and back, in five seconds each.
DRAG = """async box => {
  const frame = () => new Promise(requestAnimationFrame);
  const long = box.scrollHeight - box.clientHeight - 400;
  const began = performance.now();
  for (;;) {
    const at = (performance.now() - began) / 5000;
    if (at > 2) return;
    box.scrollTop = 300 + long * (at < 1 ? 1 - at : at - 1);
    await frame();
  }
}"""

# Drops the bar, and tells how long it takes until what is in sight is loaded, and how many rows that are.
DROP = """async (box, share) => {
  const began = performance.now();
  box.scrollTop = share * (box.scrollHeight - box.clientHeight);
  do {
    await new Promise(requestAnimationFrame);
    await new Promise(go => setTimeout(go));
    if (performance.now() - began > 60_000) throw new Error('never loaded');
  } while (box.querySelector('.sm-log-gap'));
  return performance.now() - began;
}"""
MEMORY = "() => { gc(); return performance.memory.usedJSHeapSize / 1e6; }"

# The time until the log's rows are such as they should be.
UNTIL = """async (box, wanted) => {
  const began = performance.now();
  const done = new Function('rows', 'return ' + wanted);
  while (!done([...box.querySelectorAll('.sm-log-row')])) {
    if (performance.now() - began > 60_000) throw new Error('never: ' + wanted);
    await new Promise(requestAnimationFrame);
  }
  return performance.now() - began;
}"""


def frames(box: Locator, act: Callable[[], Any]) -> str:
    """What the times between frames were while something was done."""
    box.evaluate(RECORD)
    act()
    found = box.evaluate(RECORDED)
    deltas = sorted(found["deltas"])
    cuts = statistics.quantiles(deltas, n=20)
    slow = sum(delta > 50 for delta in deltas)
    return (
        f"{len(deltas):5} frames  p50 {cuts[9]:5.1f} ms  p95 {cuts[18]:5.1f} ms  "
        f"max {deltas[-1]:6.1f} ms  over 50 ms: {slow}  rows in the document: at most {found['rows']}"
    )


def wheel(page: Page, box: Locator) -> None:
    """Turn the wheel upwards, faster than a hand can."""
    box.hover()
    for _ in range(200):
        page.mouse.wheel(0, -400)
        page.wait_for_timeout(10)


def shown(box: Locator, act: Callable[[], Any], wanted: str) -> str:
    """The time until the result of something is drawn."""
    began = time.perf_counter()
    act()
    box.evaluate(UNTIL, wanted)
    return f"{(time.perf_counter() - began) * 1000:.0f} ms"


def measure(page: Page, place: Locator, entries: int) -> None:
    """Print what one log does, on the page or in the widget."""
    box = place.get_by_test_id("log")
    box.get_by_test_id(f"log-{entries}").wait_for()
    box.scroll_into_view_if_needed()
    print(f"  wheel      {frames(box, lambda: wheel(page, box))}")
    before = page.evaluate(MEMORY)
    print(f"  drag       {frames(box, lambda: box.evaluate(DRAG))}")
    print(f"             scripts held {before:.1f} MB before, {page.evaluate(MEMORY):.1f} MB after")
    dice = random.Random(SEED)  # places, not secrets
    drops = sorted(box.evaluate(DROP, dice.random()) for _ in range(DROPS))
    print(
        f"  drop       p50 {drops[DROPS // 2]:.0f} ms  p95 {drops[int(DROPS * 0.95)]:.0f} ms  "
        f"max {drops[-1]:.0f} ms until the lines are drawn ({DROPS} places)"
    )
    level, search = place.get_by_test_id("log-level-error"), place.get_by_test_id("log-search")
    all_errors = "rows.length > 0 && rows.every(row => row.dataset.level === 'error')"
    # The last line is an error, too: the one before it tells that all levels are shown.
    newest = " && ".join(
        f"rows.some(row => row.dataset.testid === 'log-{seq}')" for seq in (entries - 1, entries)
    )
    found = f"rows.length === 1 && rows[0].dataset.testid === 'log-{NEEDLE}'"
    print(f"  errors     {shown(box, lambda: level.evaluate(CLICK), all_errors)}")
    every = place.get_by_test_id("log-level-all")
    print(f"  all again  {shown(box, lambda: every.evaluate(CLICK), newest)}")
    tenth = "rows.length > 9 && rows.every(row => row.innerText.includes('at last'))"
    print(f"  search     {shown(box, lambda: search.fill('at last'), tenth)} (in every tenth line)")
    print(f"  search     {shown(box, lambda: search.fill('needle'), found)} (in one of all lines)")
    print(f"  all again  {shown(box, lambda: search.fill(''), newest)}")
    box.focus()
    first = "rows.some(row => row.dataset.testid === 'log-1')"
    print(f"  to line 1  {shown(box, lambda: box.press('Home'), first)} (Home)")
    print(f"  newest     {shown(box, lambda: box.press('End'), newest)} (End)")


def make(site: Site, entries: int) -> None:
    """Fill the store of a site."""
    site.call("GET", "tasks")  # makes the store
    store = site.store()
    began = time.perf_counter()
    make_log(store, TASK, entries)
    store.close()
    print(f"{entries:,} entries written in {time.perf_counter() - began:.1f} s")


def of_page(page: Page, site: Site, entries: int) -> None:
    """Measure the page."""
    print("the page")
    page.goto(f"{site.page_url}?token={site.server.token}#task={TASK}")
    measure(page, page.locator("body"), entries)
    page.close()


def of_widget(page: Page, site: Site, entries: int) -> None:
    """Measure the widget in JupyterLab."""
    print("the widget")
    notebook = Notebook(page, site)
    notebook.open("log.ipynb", f"{CONNECT}sm.task('{TASK}').monitor()")
    try:
        notebook.run_all()
        widget = notebook.widget()
        widget.get_by_test_id("fold-log").click()
        measure(page, widget, entries)
    finally:
        notebook.close()


def main() -> None:
    """Measure the page, then the widget."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.log_frames", description=__doc__)
    options.add_argument("--entries", type=int, default=1_000_000)
    options.add_argument("--places", nargs="+", choices=PLACES, default=PLACES)
    chosen = options.parse_args()
    entries, places = chosen.entries, chosen.places
    with (
        tempfile.TemporaryDirectory() as name,
        notebook_site(Path(name) / "site", "other", takeover=False) as site,
        sync_playwright() as playwright,
    ):
        make(site, entries)
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=[*ARGUMENTS, *HEAP]
        )
        if "page" in places:
            of_page(browser.new_page(viewport=VIEWPORT), site, entries)
        if "widget" in places:
            of_widget(browser.new_page(viewport=VIEWPORT), site, entries)
        browser.close()


if __name__ == "__main__":
    main()
