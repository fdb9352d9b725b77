"""The widget where the kernel works on the store without a server: the kernel feeds it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from jupyter_server.auth import passwd
from playwright.sync_api import Browser, Page, expect

from tests.browser.kernel_venv import KERNEL_PYTHON
from tests.browser.notebooks import CONNECT, Notebook, notebook_site, open_page, shows
from tests.browser.site import Site, until

pytestmark = [
    pytest.mark.browser,
    pytest.mark.xdist_group("notebook-relay"),
    pytest.mark.timeout(180),
]
PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with a password: it lets no program in, and so kernels work on the store."""
    folder: Path = tmp_path_factory.mktemp("password")
    hashed = passwd(PASSWORD, "sha256")
    made = notebook_site(folder, "one", "two", token="")
    made.server.traits["PasswordIdentityProvider.hashed_password"] = hashed
    with made as running:
        yield running


def kernel_has_subshells() -> bool:
    """Whether messages of widgets are handled while a cell runs: with ipykernel 7."""
    program = "import ipykernel; print(ipykernel.version_info[0])"
    python = KERNEL_PYTHON or sys.executable
    return int(subprocess.check_output([python, "-c", program])) >= 7


def sign_in(page: Page, site: Site) -> None:
    """As a person does, with the password."""
    page.goto(f"{site.server.url}login")
    page.locator("input[name=password]").fill(PASSWORD)
    page.locator("#login_submit").click()
    page.wait_for_url(lambda url: "/login" not in url)


def test_kernel_feeds_the_widget_while_it_is_busy(chromium: Browser, site: Site) -> None:
    """The relay's thread goes on, and hears the buttons where the kernel has subshells."""
    with open_page(chromium) as page:
        sign_in(page, site)
        opened = Notebook(page, site)
        opened.open(
            "relay.ipynb",
            f"{CONNECT}task = sm.task('one').start()\ntask.monitor()",
            "import time\ntime.sleep(90)",
        )
        opened.run_all()
        widget = opened.widget()
        shows(widget, "running", 30)
        fed_by = widget.get_by_test_id("fed-by")
        expect(fed_by).to_have_attribute("data-by", "kernel")
        # This browser has signed in: that it does not reach the server would be untrue.
        words = "Relayed by the kernel, which works on the store itself, without a server."
        expect(fed_by).to_have_text(words)
        before = widget.locator(".sm-overall").inner_text()
        until(lambda: widget.locator(".sm-overall").inner_text() != before, "more rows")
        assert opened.is_busy()
        began = time.monotonic()
        widget.get_by_test_id("command-pause").click()
        if kernel_has_subshells():
            shows(widget, "pausing|paused")
            acknowledged = time.monotonic() - began
            shows(widget, "paused")
            print(f"pause: shown after {acknowledged:.2f} s, paused after "
                  f"{time.monotonic() - began:.2f} s")  # fmt: skip
            assert opened.is_busy()
        else:  # the button waits for the kernel, and says so; then it does what it said
            expect(widget.get_by_test_id("command-pause")).to_have_text("Pausing…")
            waits = widget.get_by_test_id("kernel-busy")
            expect(waits).to_contain_text("kernel is busy")
            expect(waits).to_contain_text("ipykernel 7 in JupyterLab 4.4 or newer")
        opened.command("kernelmenu:interrupt", wait=False)
        shows(widget, "paused", 15)
        expect(widget.get_by_test_id("kernel-busy")).to_have_count(0)
        widget.get_by_test_id("command-start").click()
        shows(widget, "running")
        widget.get_by_test_id("fold-log").click()
        widget.get_by_test_id("log-search").fill("paused")
        expect(widget.locator(".sm-log-message").first).to_contain_text("paused")
        widget.get_by_test_id("command-stop").click()
        widget.get_by_test_id("dialog-yes").click()
        shows(widget, "stopped", 15)
        opened.close()


def test_a_widget_fed_by_the_kernel_says_that_its_task_was_removed(
    chromium: Browser, site: Site
) -> None:
    with open_page(chromium) as page:
        sign_in(page, site)
        opened = Notebook(page, site)
        opened.open(
            "removed.ipynb",
            f"{CONNECT}task = sm.create_task('going', source='source', target='one', "
            "tables=['small'])\ntask.monitor()",
            "task.delete()",
        )
        opened.run_cell(0)
        widget = opened.widget()
        shows(widget, "idle", 30)
        expect(widget.get_by_test_id("command-start")).to_be_visible()
        opened.run_cell(1)
        removed = widget.get_by_test_id("select-error")
        expect(removed).to_contain_text("Task going was removed.", timeout=15_000)
        expect(widget.locator(".sm-commands, [data-testid=stale]")).to_have_count(0)
        opened.close()
