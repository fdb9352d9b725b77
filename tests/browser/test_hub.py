"""Behind a real JupyterHub, where every request, GET too, must carry the XSRF token.

Needs `jupyterhub`, and npm's `configurable-http-proxy`, which `make test` installs beside this file.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import psutil
import pytest
from playwright.sync_api import Browser, expect

from hatch_build import node_command
from tests.browser.notebooks import CONNECT, Notebook, notebook_site, open_page, shows
from tests.browser.site import Site

PROXY = (
    Path(__file__).parent / "hub/node_modules/configurable-http-proxy/bin/configurable-http-proxy"
)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.xdist_group("hub"),
    pytest.mark.timeout(240),
]
USER = "d@ta"  # quoted in addresses
START_SECONDS = 60.0
CONFIG = """
c = get_config()
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_port = {hub_port}
c.JupyterHub.db_url = "sqlite:///{folder}/hub.sqlite"
c.JupyterHub.cookie_secret_file = "{folder}/cookie_secret"
c.JupyterHub.authenticator_class = "dummy"
c.JupyterHub.spawner_class = "simple"
c.JupyterHub.cleanup_servers = True
c.Authenticator.allow_all = True
c.ConfigurableHTTPProxy.command = {proxy!r}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_port}"
c.ConfigurableHTTPProxy.pid_file = "{folder}/proxy.pid"
c.SimpleLocalProcessSpawner.home_dir_template = "{folder}/home"
c.Spawner.cmd = [{python!r}, "-m", "jupyterhub.singleuser"]
c.Spawner.args = {args!r}
c.Spawner.environment = {environment!r}
c.Spawner.notebook_dir = "{root}"
"""


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [cast("int", one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Site]]:
    """The hub's address, and the site that its user's server has."""
    assert PROXY.exists(), "python hatch_build.py proxy installs it"
    folder = tmp_path_factory.mktemp("hub")
    site = notebook_site(folder, "one")
    (folder / "home").mkdir()
    port, hub_port, proxy_port = free_ports(3)
    traits = {**site.server.traits, "ServerApp.allow_root": True}
    config = CONFIG.format(
        port=port,
        hub_port=hub_port,
        proxy_port=proxy_port,
        folder=folder,
        root=site.server.root,
        python=sys.executable,
        proxy=[*node_command("node")[0], str(PROXY)],
        args=[
            f"--ServerApp.jpserver_extensions={ {'syncmon_ext': True} }",
            *(f"--{name}={value}" for name, value in traits.items()),
        ],
        environment={
            name: value
            for name, value in site.server.env.items()
            if name.startswith(("JUPYTER", "SYNCMON", "PYTHON", "IPYTHON"))
        },
    )
    (folder / "jupyterhub_config.py").write_text(config)
    (folder / "config" / "jupyter_server_config.py").write_text(site.server.config)
    with (folder / "hub.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", f"--config={folder}/jupyterhub_config.py"],
            cwd=folder,
            env={k: v for k, v in os.environ.items() if not k.startswith("SYNCMON")},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    url = f"http://127.0.0.1:{port}/"
    try:
        wait_for(f"{url}hub/login", process, folder / "hub.log")
        yield url, site
    finally:
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        for child in family:
            if child.is_running():
                child.kill()
        for worker in site.workers():
            os.killpg(worker.pid, signal.SIGKILL)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(url).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"the hub did not start:\n{log.read_text()}")


def test_page_panel_and_widget_work_behind_a_hub(chromium: Browser, hub: tuple[str, Site]) -> None:
    url, site = hub
    with open_page(chromium) as page:
        asked: list[Any] = []
        page.on(
            "request", lambda request: asked.append(request) if "/api/v1/" in request.url else 0
        )
        page.goto(f"{url}hub/login")
        page.locator("input[name=username]").fill(USER)
        page.locator("input[name=password]").fill("any")
        page.locator("input[type=submit], button[type=submit]").click()
        page.wait_for_url("**/user/**", timeout=90_000)
        base = (
            page.url.split("/user/")[0] + "/user/" + page.url.split("/user/")[1].split("/")[0] + "/"
        )
        # The same server by its public address.
        public = SimpleNamespace(url=base, root=site.server.root, token="", process=None)
        opened = Notebook(page, cast("Any", SimpleNamespace(server=public)))
        opened.open("hub.ipynb", f"{CONNECT}task = sm.task('one').start()\ntask", "task.monitor()")
        opened.run_all()
        panel = page.locator(".syncmon-task")  # no frame: the hub forbids them
        shows(opened.widget(), "running", 60)
        shows(panel, "running", 60)
        expect(opened.widget().get_by_test_id("fed-by")).to_have_attribute("data-by", "server")
        opened.widget().get_by_test_id("command-pause").click()
        shows(panel, "paused")
        shows(opened.widget(), "paused")
        panel.get_by_test_id("command-start").click()
        shows(opened.widget(), "running")
        assert asked
        without = [each.url for each in asked if "x-xsrftoken" not in each.headers]
        assert not without, "requests without the header"
        # So it must be: the hub's server refuses a GET that lacks it, and what is read across origins.
        refused = page.evaluate(
            f"fetch({json.dumps(base + 'api/v1/tasks')}).then(answer => answer.status)"
        )
        assert refused == 403
        page.goto(f"{base}syncmon/")
        page.get_by_test_id("task-one").wait_for()
        expect(page.get_by_test_id("task-one")).to_have_attribute("data-state", "running")
        page.get_by_test_id("command-pause").click()
        expect(page.get_by_test_id("task-one")).to_have_attribute("data-state", "paused")
        expect(page.get_by_test_id("stale")).to_have_count(0)
        expect(page.get_by_test_id("stream-error")).to_have_count(0)
