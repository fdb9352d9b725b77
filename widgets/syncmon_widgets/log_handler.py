"""A handler of Python's logging that writes into the log of a loop."""

from __future__ import annotations

import logging
from typing import Final

from syncmon_ext.model.log import Level
from syncmon_widgets.loop import Loop, innermost

_OWN: Final = "syncmon_widgets"  # what the reporter says about itself would never end


class LoopHandler(logging.Handler):
    """Writes records into the log of ``loop``, else of the innermost loop where they are made.

        logging.getLogger().addHandler(LoopHandler())

    A record outside any loop is left to the other handlers.
    """

    def __init__(self, loop: Loop[object] | None = None, level: int = logging.INFO) -> None:
        super().__init__(level)
        self._loop = loop
        self.addFilter(lambda record: record.name.partition(".")[0] != _OWN)

    def emit(self, record: logging.LogRecord) -> None:
        """Add the record; never raises, as logging wants it."""
        try:
            run = innermost() if self._loop is None else self._loop.run
            if run is not None and not run.ended:
                run.say(_level(record.levelno), self.format(record))
        except Exception:
            self.handleError(record)


def _level(number: int) -> Level:
    if number >= logging.ERROR:
        return Level.ERROR
    return Level.WARNING if number >= logging.WARNING else Level.INFO
