"""The server extension: traits become services, services get routes."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from typing import Any, Final

from jupyter_server.extension.application import ExtensionApp
from prometheus_client import REGISTRY
from traitlets import Bool, Float, List, Unicode, default

from syncmon_ext.api.base import POOL, SEARCH_POOL, SERVICES, SLOW_POOL, SOCKETS
from syncmon_ext.api.logout import tell_of_logouts
from syncmon_ext.api.openapi import OPENAPI_ROUTES
from syncmon_ext.api.routes import ROUTES, api_handlers
from syncmon_ext.api.sse_sockets import Sockets
from syncmon_ext.model.errors import SyncmonError
from syncmon_ext.page.handler import page_handlers
from syncmon_ext.services.configuration import CONFIG_VARIABLE
from syncmon_ext.services.ebb import Ebb
from syncmon_ext.services.handing_down import hand_down_file, hand_down_store
from syncmon_ext.services.holds import HoldMonitor
from syncmon_ext.services.lifecycle import SCHEMA_ID, SCHEMA_PATH, events
from syncmon_ext.services.metrics import Metrics
from syncmon_ext.services.observer import Numbers
from syncmon_ext.services.readiness import Readiness
from syncmon_ext.services.services import LazyServices, Settings
from syncmon_ext.services.store_place import default_store_url
from syncmon_ext.store.announcements import Announcement
from syncmon_ext.sync import inherited
from syncmon_ext.sync.launcher import STORE_VARIABLE

THREADS: Final = 8  # calls that read or write the store at a time
SLOW_THREADS: Final = 4  # plans and connection tests at a time
SEARCH_THREADS: Final = 2  # searches through a log at a time
WATCH_SECONDS: Final = 1.0  # between two looks at the workers
ACTIVITY: Final = "syncmon_last_activity"  # the key of the server's settings


class SyncmonApp(ExtensionApp):
    """Copies database tables, and shows and steers the copies."""

    name = "syncmon_ext"
    extension_url = "/syncmon"
    load_other_extensions = True

    store_url = Unicode(
        help="""Where syncmon keeps tasks, runs and logs: a URL like sqlite:////path/store.db or
        postgresql://user@host/database. $SYNCMON_STORE comes before what a configuration file says,
        and after the command line. By default a file in Jupyter's data dir."""
    ).tag(config=True)
    config_file = Unicode(
        "",
        help="""The syncmon.toml with connections and tasks. $SYNCMON_CONFIG comes before what a
        configuration file says, and after the command line. Empty: the first one in Jupyter's config
        dirs.""",
    ).tag(config=True)
    trust_cwd = Bool(
        False,
        help="""Whether a syncmon.toml in the server's working directory is read. It decides where data
        and secrets are sent: only for folders that you trust.""",
    ).tag(config=True)
    push_interval = Float(
        2.0,
        min=0.05,
        max=60.0,
        help="Seconds between two events about a task that changes; its state is told at once.",
    ).tag(config=True)
    heartbeat = Float(
        15.0,
        min=0.1,
        max=55.0,
        help="Seconds between two comments that keep proxies from closing a silent stream.",
    ).tag(config=True)
    plan_timeout = Float(
        60.0, min=0.1, max=3600.0, help="Seconds that the databases have for a dry run."
    ).tag(config=True)
    connection_timeout = Float(
        15.0, min=0.1, max=3600.0, help="Seconds that a database has to answer a connection test."
    ).tag(config=True)

    sqlite_roots = List(
        Unicode(),
        help="""Folders that the SQLite files of connections must be in, links followed. Empty: any
        file that the user may open. The workers of this server keep to it too. A name that is empty
        or holds a colon allows nothing.""",
    ).tag(config=True)
    log_details = Bool(
        False,
        help="""Whether the log may hold values of rows: PostgreSQL's DETAIL of an error repeats them,
        and a value of SQLite that does not match its column is one.""",
    ).tag(config=True)

    on_finish = Unicode(
        "",
        help="""The webhook that is told of the end of every run which this server starts: the name
        of one in syncmon.toml, or its address.""",
    ).tag(config=True)

    hold_off_culling = Bool(
        False,
        help="""Whether a run that is under way counts as activity, so that an idle server is not
        culled while tables are copied. Workers go on without a server; where culling ends the
        whole container, they do not.""",
    ).tag(config=True)

    standby = Bool(
        True,
        help="""Whether a worker stands by while somebody watches, so that a copy begins at once. It
        waits in some 45 MB; without it, a start takes a quarter of a second longer.""",
    ).tag(config=True)

    watch_loop = Bool(
        True,
        help="""Whether it is measured how long the server's event loop is held at a time, by
        syncmon or by others: a metric, and a line in the log where it was syncmon for over 50 ms.""",
    ).tag(config=True)

    @default("store_url")
    def _default_store_url(self) -> str:
        return default_store_url()

    def initialize_settings(self) -> None:
        """Make the services, which open the store when it is first needed."""
        inherited.hand_down(sqlite_roots=self.sqlite_roots, log_details=self.log_details)
        store_url, store_known = self._named("store_url", STORE_VARIABLE)
        config_file, file_known = self._named("config_file", CONFIG_VARIABLE)
        if not store_url:
            store_url, store_known = default_store_url(), True
        if not hand_down_store(store_url, known=store_known):
            self.log.warning(
                "syncmon: kernels of this server inherit the address of its store without the "
                "password. They need it only where the server does not let them in: ~/.pgpass"
            )
        hand_down_file(config_file, known=file_known, trust_cwd=self.trust_cwd)
        self._lazy = LazyServices(
            Settings(
                store_url=store_url,
                config_file=config_file or None,
                trust_cwd=self.trust_cwd,
                push_interval=self.push_interval,
                heartbeat=self.heartbeat,
                plan_timeout=self.plan_timeout,
                connection_timeout=self.connection_timeout,
                on_finish=self.on_finish,
            )
        )
        self._stopping = threading.Event()
        self._monitor = HoldMonitor()
        self._ebb = Ebb(self._clients)
        self._readiness = Readiness(self._clients)
        self._nothing_seen = Numbers(seen_at=time.monotonic())
        self._metrics = Metrics(self._numbers, self._clients, lambda: self._monitor.holds)
        self.settings[SERVICES] = self._lazy
        self.settings[SOCKETS] = self._sockets = Sockets()
        self.settings[POOL] = ThreadPoolExecutor(THREADS, thread_name_prefix="syncmon")
        self.settings[SLOW_POOL] = ThreadPoolExecutor(
            SLOW_THREADS, thread_name_prefix="syncmon-slow"
        )
        self.settings[SEARCH_POOL] = ThreadPoolExecutor(
            SEARCH_THREADS, thread_name_prefix="syncmon-search"
        )
        self.settings[OPENAPI_ROUTES] = ROUTES

    def _named(self, trait: str, variable: str) -> tuple[str, bool]:
        """What the command line says, the environment, or else the configuration; and whether a program
        beside the server, which reads Jupyter's own files too, is told the same."""
        said: str = getattr(self, trait)
        server = self.serverapp
        if server is not None and trait in server.cli_config.get(type(self).__name__, {}):
            return said, False
        chosen = os.environ.get(variable, "")
        if chosen and trait in self.config.get(type(self).__name__, {}) and chosen != said:
            self.log.warning(
                "syncmon: $%s is set, so SyncmonApp.%s of the configuration is not used",
                variable,
                trait,
            )
        if chosen:
            return chosen, True
        return said, server is None or not server.config_file  # --config names a file of its own

    def initialize_handlers(self) -> None:
        """Add the API and the page."""
        self.handlers.extend(api_handlers())
        self.handlers.extend(page_handlers())
        if self.serverapp is not None:
            tell_of_logouts(self.serverapp.identity_provider, self._logged_out)

    def _logged_out(self, user: str) -> None:
        if (services := self._lazy.opened) is not None:
            services.sse.dismiss(user)

    async def _start_jupyter_server_extension(self, serverapp: Any) -> None:
        """Begin to watch the workers: a run whose worker died goes on without a visitor."""
        REGISTRY.register(self._metrics)
        if self.watch_loop:
            self._monitor.start(asyncio.get_running_loop())
        serverapp.event_logger.register_event_schema(SCHEMA_PATH)
        told = partial(self._tell, asyncio.get_running_loop(), serverapp.event_logger)
        threading.Thread(
            target=self._watch, args=(told,), name="syncmon-watch", daemon=True
        ).start()

    def _numbers(self) -> Numbers:
        services = self._lazy.opened
        return self._nothing_seen if services is None else services.observer.numbers

    def _clients(self) -> int:
        services = self._lazy.opened
        return 0 if services is None else services.sse.clients

    def _tell(
        self, loop: asyncio.AbstractEventLoop, logger: Any, found: Iterable[Announcement]
    ) -> None:
        for event in chain.from_iterable(map(events, found)):
            # Jupyter's logger and its listeners belong to the event loop.
            loop.call_soon_threadsafe(partial(logger.emit, schema_id=SCHEMA_ID, data=event))

    def _look(self, tell: Callable[[Iterable[Announcement]], None]) -> None:
        services = self._lazy.get()
        self._ebb.look()
        if self.standby:
            self._readiness.look(services.supervisor, active=services.observer.numbers.is_active)
        if services.calm.lasts():
            services.observer.look_past()
            return
        watched = services.supervisor.check()
        tell(services.observer.look())
        services.calm.note(watched=watched)
        active = services.observer.numbers.is_active
        if self.hold_off_culling and active and self.serverapp is not None:
            # Jupyter takes the newest of all settings with such a name for its last activity.
            self.serverapp.web_app.settings[ACTIVITY] = datetime.now(UTC)

    def _watch(self, tell: Callable[[Iterable[Announcement]], None]) -> None:
        said, frozen = "", False
        while not self._stopping.is_set():
            try:
                self._look(tell)
                said = ""
                if not frozen:
                    # What is loaded by now stays. Each full collection would go through it, for a
                    # tenth of a second during which the event loop is held.
                    gc.freeze()
                    frozen = True
            except SyncmonError as error:
                if error.message != said:  # once per trouble, not once a second
                    self.log.warning("syncmon: %s. %s", error.message, error.hint)
                said = error.message
            except Exception:
                if self._stopping.is_set():  # the store was closed under this look
                    return
                if said != "defect":
                    self.log.exception("syncmon: watching the workers failed")
                said = "defect"
            self._stopping.wait(WATCH_SECONDS)

    async def stop_extension(self) -> None:
        """End the streams and let go of the store; workers go on."""
        self._stopping.set()
        with suppress(KeyError):  # it was not started
            REGISTRY.unregister(self._metrics)
        self._monitor.stop()
        services = self._lazy.opened
        if services is not None:
            services.supervisor.stand_down()
            await services.close()
        self._sockets.close()
        for pool in (POOL, SLOW_POOL, SEARCH_POOL):
            self.settings[pool].shutdown(wait=False, cancel_futures=True)


main = SyncmonApp.launch_instance
