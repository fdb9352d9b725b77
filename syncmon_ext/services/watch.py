"""The thread that waits for the store to change, while somebody wants to know."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from syncmon_ext.services.sse_pace import FASTEST_LOOK_SECONDS
from syncmon_ext.store.changes import Changes

RETRY_SECONDS: Final = 1.0  # after the store could not be reached

_log = logging.getLogger(__name__)


class Watch:
    """Calls ``told`` from its thread when something may have changed, until it is stopped."""

    def __init__(self, changes: Changes, told: Callable[[], object]) -> None:
        self.pause = FASTEST_LOOK_SECONDS  # seconds between two looks; may be changed at any time
        self._changes = changes
        self._told = told
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="syncmon-news-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End soon; nothing is waited for."""
        self._stop.set()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                if self._seen():
                    self._told()
                    self._stop.wait(FASTEST_LOOK_SECONDS)  # commits in a row are told together
        except RuntimeError:  # the event loop is closed: nobody is left to be told
            _log.debug("the watch ends with the event loop")
        finally:
            self._changes.close()

    def _seen(self) -> bool:
        try:
            return self._changes.wait(self._stop, self.pause)
        except Exception as error:
            # Who reads next learns what is wrong, and says so; here one only tries again.
            _log.debug("the store cannot be watched: %s", error)
            self._changes.close()
            self._stop.wait(RETRY_SECONDS)
            return True
