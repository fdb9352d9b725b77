"""A real Jupyter server in a process of its own, with syncmon in it and a home of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parent.parent
OTHERS = ("jupyterlab", "notebook", "notebook_shim", "jupyter_lsp", "jupyter_server_terminals")
START_SECONDS = 60.0
STOP_SECONDS = 20.0


class JupyterServer:
    """Starts, stops and kills a server; a second start uses the same home and store.

    ``lab`` serves JupyterLab and Notebook as well. ``traits`` are command-line settings, as in
    ``{"SyncmonApp.push_interval": 0.2}``.
    """

    def __init__(
        self,
        folder: Path,
        *,
        token: str = "secret-token",  # noqa: S107 - of a server that nobody else reaches
        base_url: str = "/",
        traits: dict[str, Any] | None = None,
        env: dict[str, str] | None = None,
        config: str = "",
        lab: bool = False,
    ) -> None:
        self.folder = folder
        self.token = token
        # Without JupyterLab and Notebook a server starts in a second.
        self.extensions = {"syncmon_ext": True} | ({} if lab else dict.fromkeys(OTHERS, False))
        self.base_url = base_url
        self.traits = traits or {}
        self.root = folder / "notebooks"
        self.log = folder / "server.log"
        self.runtime = folder / "runtime"
        self.store_url = f"sqlite:///{folder / 'store.db'}"
        for path in (self.root, self.runtime, folder / "config", folder / "data"):
            path.mkdir(parents=True, exist_ok=True)
        self.config = config
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "SYNCMON"))},
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "JUPYTER_DATA_DIR": str(folder / "data"),
            "JUPYTER_RUNTIME_DIR": str(self.runtime),
            "IPYTHONDIR": str(folder / "ipython"),
            "SYNCMON_STORE": self.store_url,
            "PYTHONPATH": os.pathsep.join(
                [str(ROOT), str(ROOT / "widgets"), os.environ.get("PYTHONPATH", "")]
            ),
            **(env or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def __enter__(self) -> JupyterServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> JupyterServer:
        """Start, and wait until the server answers."""
        assert self.process is None, "it runs already"
        if self.config:
            path = self.folder / "config" / "jupyter_server_config.py"
            path.write_text(self.config)
        command = [sys.executable, "-X", "faulthandler", "-m", "jupyter_server"]
        command += ["--ServerApp.open_browser=False"]
        command += [
            f"--ServerApp.port={self.port}",
            "--ServerApp.port_retries=0",
            f"--ServerApp.base_url={self.base_url}",
            f"--IdentityProvider.token={self.token}",
            f"--ServerApp.root_dir={self.root}",
            f"--ServerApp.jpserver_extensions={self.extensions}",
            "--ServerApp.allow_root=True",
            *(f"--{name}={value}" for name, value in self.traits.items()),
        ]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.root,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.port = self._wait_for_port()
        return self

    def _wait_for_port(self) -> int:
        assert self.process is not None
        info = self.runtime / f"jpserver-{self.process.pid}.json"
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                port = int(json.loads(info.read_text())["port"])
                httpx.get(f"http://127.0.0.1:{port}{self.base_url}api", timeout=5)
            except (OSError, ValueError, httpx.TransportError):
                time.sleep(0.02)
                continue
            return port
        raise AssertionError(f"the server did not start:\n{self.log.read_text()}")

    @property
    def url(self) -> str:
        """The server's address, ending in a slash."""
        return f"http://127.0.0.1:{self.port}{self.base_url}"

    @property
    def api(self) -> str:
        """The address of syncmon's API, ending in a slash."""
        return f"{self.url}api/v1/"

    def client(self, **options: Any) -> httpx.Client:
        """A client of the API that sends the token."""
        headers = {"Authorization": f"token {self.token}", **options.pop("headers", {})}
        return httpx.Client(base_url=self.api, headers=headers, timeout=30, **options)

    def stop(self) -> float:
        """Stop as a person would; the seconds it took."""
        if self.process is None:
            return 0.0
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)  # it writes where its threads are
            self.process.wait(STOP_SECONDS)
            raise AssertionError(f"the server did not stop:\n{self.log.read_text()}") from None
        finally:
            self.kill()
        return time.monotonic() - began

    def kill(self) -> None:
        """Kill at once: nothing is written, nothing is said."""
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()
            self.process = None
