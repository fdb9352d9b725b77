"""Takes the README's pictures of a running copy of the demo's flights.

python docs/images/take.py        (in an environment with the extra `test`, from the root)
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Literal

import httpx
from playwright.sync_api import BrowserContext, ViewportSize, sync_playwright

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent))

from syncmon_ext.cli import demo_files, flights  # noqa: E402
from tests.server import JupyterServer  # noqa: E402

ROWS_PER_SECOND = 12_000
PERCENT = 62.0
SIZES: dict[str, ViewportSize] = {
    "page": {"width": 1120, "height": 760},
    "panel": {"width": 760, "height": 400},
}


def main() -> None:
    """Run the copy, and take each picture in the middle of it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        flights.make(folder / demo_files.SOURCE)
        config = demo_files.write_config(folder, "sqlite:///warehouse.db", ROWS_PER_SECOND)
        traits = {"SyncmonApp.config_file": config, "SyncmonApp.push_interval": 0.5}
        with JupyterServer(folder, traits=traits) as server, sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--headless", "--no-sandbox"]
            )
            with server.client() as client:
                client.post(f"tasks/{demo_files.TASK}/start").raise_for_status()
                wait_for(client)
            token = {"token": server.token}
            cookies = httpx.get(f"{server.url}syncmon/", params=token).cookies
            themes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
            for theme in themes:
                context = browser.new_context(color_scheme=theme, viewport=SIZES["page"])
                sign_in(context, server.url, cookies)
                take(context, f"{server.url}syncmon/", "body", HERE / f"page-{theme}.png")
            context = browser.new_context(viewport=SIZES["panel"], device_scale_factor=1.5)
            sign_in(context, server.url, cookies)
            url = f"{server.url}syncmon/embed/{demo_files.TASK}"
            take(context, url, ".sm-panel", HERE / "panel.png")
            with server.client() as client:
                client.post(f"tasks/{demo_files.TASK}/stop")
            browser.close()


def wait_for(client: httpx.Client) -> None:
    """Wait until the copy is far enough."""
    while (
        client.get(f"tasks/{demo_files.TASK}/progress").json()["overall_progress"] or 0
    ) < PERCENT:
        time.sleep(0.1)


def sign_in(context: BrowserContext, url: str, cookies: httpx.Cookies) -> None:
    """Give a browser the cookies of a person who has signed in."""
    context.add_cookies(
        [{"name": key, "value": value, "url": url} for key, value in cookies.items()]
    )


def take(context: BrowserContext, url: str, part: str, path: Path) -> None:
    """Take a picture of a part of a page, when the first news are there."""
    page = context.new_page()
    page.goto(url)
    page.get_by_test_id("speed").wait_for()
    page.wait_for_timeout(1_500)  # a picture needs a moment of curve, not a condition
    page.locator(part).screenshot(path=path)


if __name__ == "__main__":
    main()
