"""What ``benchmarks.sse`` measures with: helper processes, a Jupyter server, clocks and counts."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from syncmon_ext.store.store import Store
from tests.server import JupyterServer

ROOT = Path(__file__).resolve().parents[2]
WINDOW_SECONDS = 2.0
MIB = 1_048_576
BLOCKS = "blocks"
# The server says how many blocks of memory Python has in use, when it is asked to.
CONFIG = """
import gc, signal, sys
from pathlib import Path
from syncmon_ext.services import holds
holds.WINDOW_SECONDS = {window}
def count(*_, gc=gc, sys=sys, path=Path({path!r})):
    gc.collect()
    path.with_suffix(".next").write_text(str(sys.getallocatedblocks()))
    path.with_suffix(".next").rename(path)
signal.signal(signal.SIGUSR2, count)
"""


class Helper:
    """A process that takes a JSON object a line, and answers with one."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def __enter__(self) -> Helper:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def tell(self, **command: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def ask(self, **command: object) -> Any:
        self.tell(**command)
        return self.answer()


def percentile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether the condition came to hold in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@contextmanager
def jupyter(
    push_interval: float = 0.05, store_url: str | None = None
) -> Iterator[tuple[JupyterServer, Store, psutil.Process]]:
    """A server that sends what it sees at once, or when it is time; and its store."""
    with tempfile.TemporaryDirectory(prefix="syncmon-bench-") as folder:
        traits = {"SyncmonApp.push_interval": push_interval}
        env = {"SYNCMON_STORE": store_url} if store_url else None
        config = CONFIG.format(window=WINDOW_SECONDS, path=str(Path(folder) / BLOCKS))
        with JupyterServer(Path(folder), traits=traits, config=config, env=env) as server:
            assert server.process is not None
            store = Store(store_url or server.store_url)
            try:
                yield server, store, psutil.Process(server.process.pid)
            finally:
                store.close()


def connect(crowd: Helper, server: JupyterServer, path: str, count: int, deaf: int = 0) -> None:
    headers = {"Authorization": f"token {server.token}"}
    command = {"port": server.port, "path": f"/api/v1/{path}", "headers": headers}
    entered = crowd.ask(do="connect", **command, count=count, deaf=deaf)["in"]
    assert entered >= count, f"{entered} of {count} clients are in"


@contextmanager
def repeated(seconds: float, work: Callable[[], None]) -> Iterator[None]:
    """Do the work again and again, so many seconds apart, in a thread, while the block runs."""
    stop = threading.Event()

    def repeat() -> None:
        while not stop.wait(seconds):
            work()

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def jupyter_in_use(server: JupyterServer) -> Iterator[list[float]]:
    """The seconds that ``api/status`` takes, ten times a second, while the block runs."""
    taken: list[float] = []
    with server.client() as client:

        def use() -> None:
            began = time.monotonic()
            client.get(f"{server.url}api/status").raise_for_status()
            taken.append(time.monotonic() - began)

        with repeated(0.1, use):
            yield taken


class Held:
    """What the server's own monitor says of a while."""

    longest = 0.0
    own = others = 0


@contextmanager
def holds_of(server: JupyterServer) -> Iterator[Held]:
    """How long the event loop was held while the block runs, asked of Jupyter's metrics."""
    held = Held()

    def counts() -> tuple[float, int, int]:
        with server.client() as client:
            text = client.get(f"{server.url}metrics").text
        found = dict(line.rsplit(" ", 1) for line in text.splitlines() if "syncmon_loop" in line)
        own = int(float(found['syncmon_loop_holds_total{cause="syncmon"}']))
        total = sum(int(float(count)) for name, count in found.items() if "holds_total{" in name)
        return float(found["syncmon_loop_longest_hold_seconds"]), own, total - own

    def look_on() -> None:
        held.longest = max(held.longest, counts()[0])

    time.sleep(3 * WINDOW_SECONDS)  # the gauge forgets what was before
    _, own, others = counts()
    with repeated(WINDOW_SECONDS / 2, look_on):
        yield held
    longest, all_own, all_others = counts()
    held.longest = max(held.longest, longest)
    held.own, held.others = all_own - own, all_others - others


@contextmanager
def lateness() -> Iterator[list[float]]:
    """The seconds by which a process of its own, which only sleeps, is woken too late."""
    code = (
        "import time\n"
        "while True:\n"
        "    began = time.monotonic(); time.sleep(0.01)\n"
        "    print(time.monotonic() - began - 0.01, flush=True)\n"
    )
    found: list[float] = []
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen([sys.executable, "-c", code], stdout=output)
        try:
            yield found
        finally:
            process.kill()
            process.wait()
            output.seek(0)
            found += [float(line) for line in output.read().splitlines()[:-1]]


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def sockets_of(process: psutil.Process) -> int:
    """How many sockets the process has open: connections to the store come and go with its threads."""
    count = 0
    for link in Path(f"/proc/{process.pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            count += str(link.readlink()).startswith("socket:")
    return count


def blocks_of(server: JupyterServer) -> int:
    """How many blocks of memory Python has in use in the server, after a collection."""
    assert server.process is not None
    answer = server.folder / BLOCKS
    answer.unlink(missing_ok=True)
    server.process.send_signal(signal.SIGUSR2)
    assert wait_until(answer.exists, 30)
    return int(answer.read_text())
