"""Takes the README's pictures of a running copy of the demo's flights: page, panel, and widget in JupyterLab.

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
import nbformat
from playwright.sync_api import BrowserContext, Page, ViewportSize, sync_playwright

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent))

from syncmon_ext.cli import demo_files, flights  # noqa: E402
from tests.server import JupyterServer  # noqa: E402

ROWS_PER_SECOND = 9_000  # leaves time for all pictures after PERCENT
PERCENT = 62.0
SIZES: dict[str, ViewportSize] = {
    "page": {"width": 1120, "height": 760},
    "panel": {"width": 760, "height": 400},
    "widget": {"width": 1100, "height": 1000},
}


def main() -> None:
    """Run the copy, and take each picture in the middle of it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        flights.make(folder / demo_files.SOURCE)
        config = demo_files.write_config(folder, "sqlite:///warehouse.db", ROWS_PER_SECOND)
        traits = {"SyncmonApp.config_file": config, "SyncmonApp.push_interval": 0.5}
        traits["LabApp.expose_app_in_browser"] = True
        settings = folder / "settings" / "@jupyterlab" / "apputils-extension"
        settings.mkdir(parents=True)  # JupyterLab is not to ask about news in the picture
        (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
        env = {"JUPYTERLAB_SETTINGS_DIR": str(folder / "settings")}
        with (
            JupyterServer(folder, traits=traits, env=env, lab=True) as server,
            sync_playwright() as playwright,
        ):
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--headless", "--no-sandbox"]
            )
            context = browser.new_context(viewport=SIZES["widget"], device_scale_factor=1.5)
            notebook = open_notebook(context, server)
            with server.client() as client:
                client.post(f"tasks/{demo_files.TASK}/start").raise_for_status()
                wait_for(client)
            take_widget(notebook)
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


def open_notebook(context: BrowserContext, server: JupyterServer) -> Page:
    """A notebook in JupyterLab that shows the widget when it is run."""
    page = context.new_page()
    cell = nbformat.v4.new_code_cell(  # type: ignore[no-untyped-call]
        f'from syncmon_widgets import connect\nconnect().task("{demo_files.TASK}").monitor()'
    )
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(  # type: ignore[no-untyped-call]
        cells=[cell], metadata={"kernelspec": kernel}
    )
    nbformat.write(notebook, server.root / "widget.ipynb")  # type: ignore[no-untyped-call]
    page.goto(f"{server.url}lab/tree/widget.ipynb?reset&token={server.token}")
    page.wait_for_function(
        """() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.isReady
            && window.jupyterapp.shell.currentWidget.content?.widgets?.length > 0""",
        timeout=60_000,
    )
    return page


def take_widget(page: Page) -> None:
    """Take a picture of the widget in the notebook's cell, and end its kernel."""
    page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells'); 0")
    widget = page.get_by_test_id("widget")
    widget.get_by_test_id("speed").wait_for()
    widget.get_by_test_id("fold-tables").click()
    page.mouse.move(0, 0)  # what the pointer is on looks otherwise
    page.wait_for_timeout(1_500)  # as above
    widget.screenshot(path=HERE / "widget.png")
    page.evaluate("window.jupyterapp.serviceManager.sessions.shutdownAll()")


if __name__ == "__main__":
    main()
