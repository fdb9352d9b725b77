"""syncmon in notebooks: connect to tasks, show and steer them, and track loops of your own.

    from syncmon_widgets import connect, track

Importing this package imports nothing else: each name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from syncmon_widgets.bar import tqdm, trange
    from syncmon_widgets.log_handler import LoopHandler
    from syncmon_widgets.loop import track
    from syncmon_widgets.monitor import Monitor
    from syncmon_widgets.session import connect
    from syncmon_widgets.stopped import TaskStopped

__all__ = [
    "LoopHandler",
    "Monitor",
    "TaskStopped",
    "connect",
    "load_ipython_extension",
    "tqdm",
    "track",
    "trange",
]

_HOMES: Final = {
    "LoopHandler": "syncmon_widgets.log_handler",
    "Monitor": "syncmon_widgets.monitor",
    "TaskStopped": "syncmon_widgets.stopped",
    "connect": "syncmon_widgets.session",
    "tqdm": "syncmon_widgets.bar",
    "track": "syncmon_widgets.loop",
    "trange": "syncmon_widgets.bar",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext syncmon_widgets``: the magics ``%syncmon`` and ``%%syncmon``."""
    from syncmon_widgets.magics import SyncmonMagics, awaiting

    shell.register_magics(SyncmonMagics)
    shell.input_transformers_post.append(awaiting(shell))


def unload_ipython_extension(shell: Any) -> None:
    """Take back what loading did beyond the magics, so that ``%reload_ext`` does not do it twice."""
    from syncmon_widgets.magics import awaiting

    known = shell.input_transformers_post
    known[:] = [one for one in known if getattr(one, "__module__", "") != awaiting.__module__]
