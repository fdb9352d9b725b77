"""The widget: tasks live in a cell, to compose with other widgets and to observe."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import anywidget
import msgspec
import traitlets as t

from syncmon_ext.model.errors import InvalidRequest, SyncmonError
from syncmon_widgets.backend import Backend
from syncmon_widgets.discovery import PARENT_VARIABLE
from syncmon_widgets.handle import Task
from syncmon_widgets.kernel_answers import answer
from syncmon_widgets.relay import Changes, News, Relay, relay_of

SCRIPT: Final = Path(__file__).parent / "static" / "widget.js"
SUBSHELLS: Final = 7  # the first ipykernel that handles a display's messages beside a cell


class NotBuilt(SyncmonError):
    """The front end is missing."""

    code = "not_built"
    status = 503


class Monitor(anywidget.AnyWidget):
    """Tasks, live: bars, speed, time left, log and buttons.

        Monitor(tasks=["nightly", sm.task("weekly")])
        task.monitor(); sm.monitor()

    The display is fed by the server and goes on while the kernel is busy; where the browser does not
    reach the server, the kernel feeds it. The traits ``state``, ``progress`` and ``logs`` are of the
    task ``selected``, ``states`` has the states of all. They change between cells, in the kernel's main
    thread, so that observers may do what they like. ``close()`` ends it.
    """

    selected = t.Unicode(None, allow_none=True, help="The id of the task that is shown").tag(
        sync=True
    )
    state = t.Unicode("idle", help="The state of the selected task").tag(sync=True)
    states = t.Dict(help="The state of every task, by id")
    progress = t.Dict(help="The progress object of the selected task")
    logs: t.List[dict[str, Any]] = t.List(
        help="The newest 200 log entries of the selected task, oldest first"
    )
    fed_by = t.Unicode("", help="server or kernel: where the display has its news from").tag(
        sync=True
    )

    _esm = t.Unicode().tag(sync=True)
    _server = t.Dict().tag(sync=True)
    _hearing = t.Unicode().tag(sync=True)  # what would hear the display while a cell runs
    _scope: t.List[str] = t.List(None, allow_none=True).tag(sync=True)
    _known = t.Dict().tag(sync=True)

    def __init__(
        self,
        tasks: Iterable[Task | str] | None = None,
        *,
        backend: Backend | None = None,
        **layout: Any,
    ) -> None:
        """Monitor ``tasks``, handles or ids; None: all that there are and will be."""
        handles = None if tasks is None else list(tasks)
        if handles is not None and not handles:
            raise InvalidRequest("there is no task to monitor", hint="name one, or monitor all")
        self._backend: Final = _backend_of(handles or [], backend)
        names = None if handles is None else tuple(dict.fromkeys(map(_task_id, handles)))
        self._names: Final = names
        self._relay: Final[Relay] = relay_of(self._backend)
        self._changes: Final = Changes()
        self._relaying = True  # until the display says that it needs none of it
        self._news: News | None = None
        self._lock = threading.Lock()
        self._ended = False
        known = self._first_look()
        self._choice: str | None = (names or tuple(known.progress) or (None,))[0]
        super().__init__(
            _esm=_script(),
            _server=_server_of(self._backend),
            _hearing=_better_hearing(),
            _scope=None if names is None else list(names),
            _known=msgspec.to_builtins({"progress": list(known.progress.values())}),
            selected=self._choice,
            **layout,
        )
        _hear_beside_cells(self.comm)
        self._show(known)
        self.on_msg(self._hear)
        self._relay.add(self)

    # -- showing ---------------------------------------------------------------------------------

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The live display, and for an export the last state as a table and as text."""
        bundle = super()._repr_mimebundle_(**kwargs)
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        if data is not None:
            data |= self._static()
        return bundle

    def _static(self) -> dict[str, str]:
        from syncmon_widgets.panel import panel_html, panel_text, task_line, task_list_html

        try:
            if self._names is None:
                views = self._backend.tasks()
            else:
                views = [self._backend.task(name) for name in self._names]
        except SyncmonError as error:
            return {"text/plain": f"{error.message}. {error.hint}"}
        if self._names is not None and len(views) == 1:
            url = Task(self._backend, views[0].task_id).url
            html = panel_html(views[0], url=url, live=False)
            return {"text/html": html, "text/plain": panel_text(views[0])}
        lines = [task_line(view.progress) for view in views]
        return {
            "text/html": task_list_html(views),
            "text/plain": "\n".join(lines) or "no tasks yet",
        }

    # -- for the relay ---------------------------------------------------------------------------

    @property
    def scope(self) -> tuple[str, ...] | None:
        """The tasks of this monitor; None: all."""
        return self._names

    @property
    def chosen(self) -> str | None:
        """The task that is shown."""
        return self._choice

    @property
    def displayed(self) -> bool:
        """Whether a display is fed by this kernel."""
        return self._relaying

    def take(self, news: News) -> None:
        """Hand the news on: to the display at once, to the traits when the kernel is free."""
        mine = _part(news, self._names)
        if self._relaying and (message := self._changes.message(mine)):
            self._say(message)
        with self._lock:
            planned, self._news = self._news is not None, mine
        if not planned:
            _when_free(self._show_news)

    # -- traits ----------------------------------------------------------------------------------

    def _first_look(self) -> News:
        """What is known before the relay's first round; raises what is wrong with the tasks."""
        if self._names is None:
            return News(progress={view.task_id: view.progress for view in self._backend.tasks()})
        return News(progress={name: self._backend.progress(name) for name in self._names})

    def _show_news(self) -> None:
        with self._lock:
            news, self._news = self._news, None
        if news is not None and not self._ended:
            self._show(news)

    def _show(self, news: News) -> None:
        if news.error is not None:
            return
        if self.selected is None and news.progress:
            self.selected = next(iter(news.progress))
        shown = news.progress.get(self.selected or "")
        with self.hold_trait_notifications():
            self.states = {name: str(progress.state) for name, progress in news.progress.items()}
            if shown is not None:
                self.progress = msgspec.to_builtins(shown)
                self.state = str(shown.state)
            if self.selected in news.logs:
                self.logs = msgspec.to_builtins(news.logs[self.selected])

    @t.observe("selected")
    def _choose(self, change: Any) -> None:
        self._choice = change["new"]
        self.logs = []
        self._relay.hurry()

    # -- the display's messages ------------------------------------------------------------------

    def _hear(self, _: Any, message: Any, __: Any) -> None:
        kind = message.get("type") if isinstance(message, dict) else None
        if kind in ("direct", "bye"):
            self._relaying = False
        elif kind == "hello":
            self._changes.forget()
            self._relaying = True
            self._relay.hurry()
        elif kind == "request":
            # A plan may take a minute, and the kernel has better things to do.
            threading.Thread(target=self._answer, args=(message,), daemon=True).start()

    def _answer(self, message: dict[str, Any]) -> None:
        method, path = str(message.get("method")), str(message.get("path"))
        number = str(message.get("id"))
        key = str(message.get("key") or number)
        status, text = answer(self._backend, method, path, message.get("body"), key)
        self._say({"type": "answer", "id": number, "status": status, "body": text})
        if method == "POST":
            self._relay.hurry()

    def _say(self, message: dict[str, Any]) -> None:
        if not self._ended:
            self.send(message)

    def close(self) -> None:
        """End the display and the reading for it."""
        self._ended = True
        if relay := vars(self).get("_relay"):  # also of one that was refused half made
            relay.remove(self)
        super().close()


def _hear_beside_cells(comm: Any) -> None:
    """Let the display's messages be handled in the subshell that they name, while a cell runs.

    ipykernel 7.4 takes them for replies to what was sent last, and hands them to the shell that sent
    it: the one that is busy.
    """
    if getattr(comm, "_reply_subshell_for", None) is not None:
        comm._reply_subshell_for = None


def _better_hearing() -> str:
    """What hears a display while a cell runs, where this kernel does not; "": it does, as far as is known."""
    version = getattr(sys.modules.get("ipykernel"), "version_info", (SUBSHELLS,))
    return "" if version[0] >= SUBSHELLS else f"ipykernel {SUBSHELLS} in JupyterLab 4.4 or newer"


def _script() -> str:
    try:
        return SCRIPT.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotBuilt(
            f"the widget is not built ({SCRIPT} is missing)",
            hint="run `make install`, or install syncmon from a wheel",
        ) from error


def _task_id(task: Task | str) -> str:
    return task if isinstance(task, str) else task.task_id


def _backend_of(tasks: Sequence[Task | str], backend: Backend | None) -> Backend:
    """Where the tasks are; all of them must be in one place."""
    from syncmon_widgets.session import connect

    backends = [task._backend for task in tasks if isinstance(task, Task)]
    backend = backend or next(iter(backends), None) or connect().backend
    if any(other is not backend for other in backends):
        raise InvalidRequest(
            "the tasks are of several servers", hint="make a monitor for each connection"
        )
    return backend


def _server_of(backend: Backend) -> dict[str, str | None]:
    """The server as a browser knows it: its path, and its origin where it did not start this kernel."""
    from syncmon_widgets.client import Client

    if not isinstance(backend, Client):
        return {"baseUrl": None, "origin": None}
    server = backend.server
    address = urlsplit(server.url)
    own = server.pid is not None and str(server.pid) == os.environ.get(PARENT_VARIABLE)
    origin = None if own else f"{address.scheme}://{address.netloc}"
    return {"baseUrl": server.base_url, "origin": origin}


def _part(news: News, names: tuple[str, ...] | None) -> News:
    """What concerns the tasks ``names``."""
    if names is None:
        return news
    return News(
        progress={name: news.progress[name] for name in names if name in news.progress},
        logs={name: news.logs[name] for name in names if name in news.logs},
        error=news.error,
    )


def _when_free(callback: Callable[[], None]) -> None:
    """Call in the kernel's main thread when no cell runs; outside of a kernel, here and now."""
    shell = sys.modules.get("IPython") and sys.modules["IPython"].get_ipython()
    loop = getattr(getattr(shell, "kernel", None), "io_loop", None)
    if loop is None:
        callback()
    else:
        loop.add_callback(callback)
