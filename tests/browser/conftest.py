"""A real Chromium, with pages that fail the test when a script of theirs fails, and notebooks."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser import notebooks
from tests.browser.notebooks import App, Notebook
from tests.browser.site import Site

OpenPage = Callable[..., Page]
OpenNotebook = Callable[..., Notebook]
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
TASKS = tuple(f"task{number}" for number in range(16))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The machine's Chromium; a test that needs it fails where there is none."""
    path = shutil.which("chromium")
    if path is None:
        pytest.fail("no chromium on PATH: the page is tested in a real one (apt install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def new_context(chromium: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """Makes browser profiles that are signed in to a site; ``options`` are Playwright's."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def make(site: Site, **options: Any) -> BrowserContext:
        options = {"viewport": {"width": 1280, "height": 860}, "reduced_motion": "reduce"} | options
        context = chromium.new_context(**options)
        context.set_default_timeout(20_000)
        url = site.server.url
        context.add_cookies(
            [{"name": name, "value": value, "url": url} for name, value in site.signed_in().items()]
        )
        context.on("weberror", lambda error: errors.append(str(error.error)))
        context.on(
            "console",
            lambda said: errors.append(said.text) if "Content Security" in said.text else None,
        )
        contexts.append(context)
        return context

    yield make
    for context in contexts:
        context.close()
    assert not errors, f"scripts of the page failed: {errors}"


@pytest.fixture
def open_page(new_context: Callable[..., BrowserContext]) -> OpenPage:
    """Opens a site's page, in a new profile, at a place such as ``task=nightly&line=3``."""

    def make(site: Site, place: str = "", path: str = "", **options: Any) -> Page:
        page = new_context(site, **options).new_page()
        page.goto(f"{site.page_url}{path}{'#' if place else ''}{place}")
        return page

    return make


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site for the notebooks of a module, with throttled copies as tasks."""
    with notebooks.notebook_site(tmp_path_factory.mktemp("notebook"), *TASKS) as running:
        yield running


@pytest.fixture(scope="module")
def names() -> Iterator[str]:
    """The tasks that no test of the module has used yet."""
    return iter(TASKS)


@pytest.fixture
def name(names: Iterator[str]) -> str:
    """A task that no other test uses."""
    return next(names)


@pytest.fixture
def notebook(chromium: Browser, site: Site) -> Iterator[OpenNotebook]:
    """Opens a notebook with cells in an application."""
    with notebooks.open_page(chromium) as page:
        opened: list[Notebook] = []

        def make(*cells: str, app: App = "lab") -> Notebook:
            made = Notebook(page, site, app).open(f"{uuid.uuid4().hex[:8]}.ipynb", *cells)
            opened.append(made)
            return made

        yield make
        for one in opened:
            one.close()
