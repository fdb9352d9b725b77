"""All services over one store, opened together and closed together."""

from __future__ import annotations

import threading
import time

import msgspec

from syncmon_ext.model.errors import InvalidConfig, StoreUnavailable, SyncmonError
from syncmon_ext.services.calm import Calm
from syncmon_ext.services.catalog import Catalog
from syncmon_ext.services.configuration import Configuration
from syncmon_ext.services.news import News
from syncmon_ext.services.observer import Observer
from syncmon_ext.services.progress_text import ProgressTexts
from syncmon_ext.services.supervisor import Supervisor
from syncmon_ext.services.task_control import TaskControl
from syncmon_ext.services.task_log import TaskLog
from syncmon_ext.services.task_loop import TaskLoop
from syncmon_ext.services.task_progress import TaskProgress
from syncmon_ext.services.task_rejects import TaskRejects
from syncmon_ext.services.task_sse import TaskSse
from syncmon_ext.store.store import Store


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a server is configured with."""

    store_url: str
    config_file: str | None = None
    trust_cwd: bool = False
    push_interval: float = 2.0  # seconds
    heartbeat: float = 15.0  # seconds
    plan_timeout: float = 60.0  # seconds
    connection_timeout: float = 15.0  # seconds
    on_finish: str = ""  # a webhook's name or address


class Services:
    """The services of one server; making them opens the store and raises StoreUnavailable."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        try:
            self.store = Store(settings.store_url)
        except InvalidConfig as error:  # whoever asks a server did not write its store's URL
            raise StoreUnavailable(error.message, hint=error.hint) from error
        self.configuration = Configuration(settings.config_file, trust_cwd=settings.trust_cwd)
        self.catalog = Catalog(self.store, self.configuration)
        self.supervisor = Supervisor(self.store)
        self.control = TaskControl(
            self.store, self.catalog, self.supervisor, on_finish=settings.on_finish
        )
        self.observer = Observer(self.store)
        self.calm = Calm(self.store)
        texts = ProgressTexts()
        self.progress = TaskProgress(self.store, self.catalog, texts)
        self.log = TaskLog(self.store, self.catalog)
        self.rejects = TaskRejects(self.store, self.catalog, settings.plan_timeout)
        self.loops = TaskLoop(self.store, self.catalog, self.supervisor)
        self.sse = TaskSse(
            News(self.store, self.catalog, texts),
            push_interval=settings.push_interval,
            heartbeat=settings.heartbeat,
        )

    async def close(self) -> None:
        """End all streams and give the connections back."""
        self.log.close()
        await self.sse.close()
        self.calm.close()
        self.store.close()


class LazyServices:
    """Opens the services when they are first needed, and again while that fails."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._services: Services | None = None
        self._error: SyncmonError | None = None
        self._failed_at = 0.0

    def get(self) -> Services:
        """The services; raises StoreUnavailable, each time anew, while the store is broken. Blocks."""
        asked_at = time.monotonic()
        with self._lock:
            if self._services is None:
                # An attempt may take long to fail: it answers for all who waited for it.
                if self._error is not None and self._failed_at >= asked_at:
                    raise self._error
                try:
                    self._services = Services(self.settings)
                except SyncmonError as error:
                    self._error, self._failed_at = error, time.monotonic()
                    raise
            return self._services

    @property
    def opened(self) -> Services | None:
        """The services if they could be opened; does not block."""
        return self._services
