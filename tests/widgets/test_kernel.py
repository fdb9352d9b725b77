"""Loops, magics and panels in a real kernel beside a real server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import nbformat
import psutil
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.server import JupyterServer
from tests.widgets.conftest import until

ACKNOWLEDGED_SECONDS = 2.0
EFFECTIVE_SECONDS = 5.0


class Kernel:
    """A kernel in which cells are run one after another, from any thread."""

    def __init__(self, server: JupyterServer) -> None:
        self.notebook = nbformat.v4.new_notebook()
        self.client = NotebookClient(self.notebook, timeout=60, kernel_name="python3")
        self.client.create_kernel_manager()
        self.client.start_new_kernel(env={**server.env, "MPLBACKEND": "agg"})
        self.client.start_new_kernel_client()

    def run(self, source: str) -> list[Any]:
        """The outputs of a cell; raises CellExecutionError."""
        cell = nbformat.v4.new_code_cell(source)
        self.notebook.cells.append(cell)
        self.client.execute_cell(cell, len(self.notebook.cells) - 1)
        return list(cell.outputs)

    def close(self) -> None:
        self.client._cleanup_kernel()


@pytest.fixture
def kernel(server: JupyterServer) -> Iterator[Kernel]:
    started = Kernel(server)
    yield started
    started.close()


@pytest.fixture
def api(server: JupyterServer) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def state(api: httpx.Client, task: str) -> str | None:
    answer = api.get(f"tasks/{task}/progress")
    return answer.json()["state"] if answer.status_code == 200 else None


def in_background(work: Callable[[], Any]) -> tuple[threading.Thread, list[Exception]]:
    raised: list[Exception] = []

    def run() -> None:
        try:
            work()
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, raised


def test_busy_kernel_is_paused_resumed_and_stopped(kernel: Kernel, api: httpx.Client) -> None:
    seconds: dict[str, tuple[float, float]] = {}

    def person() -> None:
        until(lambda: state(api, "busy") == "running")
        for call, reached in (("pause", "paused"), ("start", "running"), ("stop", "stopped")):
            began = time.monotonic()
            assert api.post(f"tasks/busy/{call}").status_code == 202
            acknowledged = time.monotonic() - began
            until(lambda reached=reached: state(api, "busy") == reached)
            seconds[call] = (acknowledged, time.monotonic() - began)

    thread, raised = in_background(person)
    busy = "import time\nfrom syncmon_widgets import track\nfor n in track(range(10**6), 'busy'):\n"
    with pytest.raises(CellExecutionError):
        kernel.run(f"{busy}    time.sleep(0.01)")
    thread.join(10)
    assert raised == []
    assert seconds.keys() == {"pause", "start", "stop"}
    for acknowledged, effective in seconds.values():
        assert acknowledged < ACKNOWLEDGED_SECONDS
        assert effective < EFFECTIVE_SECONDS
    output = kernel.notebook.cells[-1].outputs[-1]
    assert output.ename == "TaskStopped"
    assert len(output.traceback) == 1, "no traceback: nothing went wrong"
    assert "■ busy was stopped after" in output.traceback[0]


def test_exception_names_the_traceback_s_last_line(kernel: Kernel, api: httpx.Client) -> None:
    with pytest.raises(CellExecutionError):
        kernel.run(
            "from syncmon_widgets import track\nfor n in track([2, 1, 0], 'dividing'):\n    1 / n"
        )
    until(lambda: state(api, "dividing") == "failed")
    assert api.get("tasks/dividing/progress").json()["error"] == (
        "ZeroDivisionError: division by zero"
    )


def test_killed_kernel_makes_its_loop_failed(kernel: Kernel, api: httpx.Client) -> None:
    source = "import os, time\nfrom syncmon_widgets import track\n"
    pid = int(kernel.run(f"{source}print(os.getpid())")[0]["text"])
    kernel.run("steps = iter(track(range(9), 'lost'))\nnext(steps)")
    until(lambda: state(api, "lost") == "running")
    psutil.Process(pid).kill()
    until(lambda: state(api, "lost") == "failed")
    assert api.get("tasks/lost/progress").json()["error"] == "the kernel that ran it is gone"


def test_loop_outlives_the_server(tmp_path: Path) -> None:
    with JupyterServer(tmp_path / "server") as server:
        kernel = Kernel(server)

        def restart() -> None:
            with server.client() as api:
                until(lambda: state(api, "long") == "running")
            server.kill()
            server.start()

        thread, raised = in_background(restart)
        source = "import time\nfrom syncmon_widgets import track\n"
        kernel.run(f"{source}for n in track(range(400), 'long'):\n    time.sleep(0.02)")
        thread.join(30)
        assert raised == []
        with server.client() as api:
            until(lambda: state(api, "long") == "completed")
            found = api.get("tasks/long/logs").json()["logs"]
        assert [entry["message"] for entry in found] == [
            "started: 400 iterations",
            "completed: 400 iterations",
        ]
        kernel.close()


def test_errors_show_their_remedy_and_no_inner_frames(kernel: Kernel) -> None:
    kernel.run("from syncmon_widgets import connect\nsm = connect()\n%load_ext syncmon_widgets")
    for source in (
        "def find(name):\n    return sm.task(name)\n\nfind('nightli')",
        "%syncmon nightli",
        "sm.create_task('nightly', source='source', target='target', tables=['t'])",
        "sm.task('nightly').logs(level='loud')",
        "sm.task('nightly').pause()",
        "connect('http://127.0.0.1:1/lab?token=s3cret')",
    ):
        with pytest.raises(CellExecutionError):
            kernel.run(source)
        shown = kernel.notebook.cells[-1].outputs[-1]
        text = "\n".join(shown.traceback)
        assert text.startswith(f"{shown.ename}: ")
        assert len(text.splitlines()) <= 4, text
        assert not [word for word in ("session", "client", "interactiveshell") if word in text]
        assert "s3cret" not in text + shown.evalue
        if "nightli'" in text:
            assert text.splitlines()[:2] == [
                "TaskNotFound: there is no task 'nightli'",
                "did you mean nightly?",
            ]
            assert shown.evalue == "there is no task 'nightli'. did you mean nightly?"
        if source.startswith("def"):
            assert text.splitlines()[2:] == ["  in line 4 of the cell", "  in line 2 of the cell"]


def test_magics(kernel: Kernel, api: httpx.Client) -> None:
    kernel.run("%load_ext syncmon_widgets")
    listed = kernel.run("%syncmon")[0].data
    assert "nightly" in listed["text/html"]
    assert "○ Idle  nightly" in listed["text/plain"]
    shown = kernel.run("%syncmon nightly")[0].data
    assert 'data-task="nightly"' in shown["text/html"]
    result = kernel.run("%%syncmon --track report --total 4\nloop.update(4)\n6 * 7")
    assert result[0].data["text/plain"] == "42"
    until(lambda: state(api, "report") == "completed")
    assert api.get("tasks/report/progress").json()["rows_committed"] == 4
    with pytest.raises(CellExecutionError, match="no luck"):
        kernel.run("%%syncmon --track report\nraise ValueError('no luck')")
    until(lambda: state(api, "report") == "failed")
    assert api.get("tasks/report/progress").json()["error"] == "ValueError: no luck"
    with pytest.raises(CellExecutionError, match="usage"):
        kernel.run("%%syncmon\n1")


def test_tracked_cell_may_await(kernel: Kernel, api: httpx.Client) -> None:
    kernel.run("%load_ext syncmon_widgets\n%reload_ext syncmon_widgets")
    kernel.run("import asyncio\nhome = asyncio.get_running_loop()\nseen = asyncio.Event()")
    result = kernel.run(
        "%%syncmon --track awaited --total 3\n"
        "async def tell():\n    seen.set()\n"
        "asyncio.ensure_future(tell())\n"
        "await asyncio.wait_for(seen.wait(), 5)\n"
        "loop.update(3)\n"
        "here = asyncio.get_running_loop() is home\n"
        "await asyncio.sleep(0.01, (here, 'é\\n'))"
    )
    assert result[0].data["text/plain"] == "(True, 'é\\n')"
    until(lambda: state(api, "awaited") == "completed")
    assert api.get("tasks/awaited/progress").json()["rows_committed"] == 3
    kernel.run("%%syncmon --track awaited\nasync with asyncio.timeout(5):\n    pass")
    with pytest.raises(CellExecutionError, match="no luck"):
        kernel.run("%%syncmon --track awaited\nawait asyncio.sleep(0)\nraise ValueError('no luck')")
    until(lambda: state(api, "awaited") == "failed")
    with pytest.raises(CellExecutionError, match="SyntaxError"):
        kernel.run("%%syncmon --track awaited\nawait await")


def test_tracked_cell_leaves_a_variable_named_loop_alone(kernel: Kernel) -> None:
    kernel.run("%load_ext syncmon_widgets")
    kernel.run("%%syncmon --track cell --total 1\nloop.update()")
    assert kernel.run("'loop' in globals()")[0].data["text/plain"] == "False"
    kernel.run("loop = 'mine'")
    assert kernel.run("%%syncmon --track cell\nloop")[0].data["text/plain"] == "'mine'"
    kernel.run("%%syncmon --track cell --total 1\nloop.update()")
    assert kernel.run("loop")[0].data["text/plain"] == "'mine'"
    kernel.run("%%syncmon --track cell --total 1\nloop = 'set'")
    assert kernel.run("loop")[0].data["text/plain"] == "'set'"
