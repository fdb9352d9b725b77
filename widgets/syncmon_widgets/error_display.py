"""How syncmon's errors show themselves to a person: what is wrong and the remedy, no inner frames.

A server tells the two apart, as JSON, and logs the first; so the errors do by themselves. Here, beside
the person who reads them, they are told together, by the class that all of them come from.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Final

from syncmon_ext.model.errors import SyncmonError

_INNER: Final = ("syncmon_widgets", "syncmon_ext", "IPython", "ipykernel")


def show_errors() -> None:
    """Have syncmon's errors tell their remedy in this program, and in a notebook nothing else."""
    SyncmonError.__str__ = told  # type: ignore[assignment, method-assign]  # of this program only
    SyncmonError._render_traceback_ = _lines  # type: ignore[attr-defined]  # IPython asks for it


def told(error: SyncmonError) -> str:
    """The message, and the remedy where there is one."""
    return f"{error.message}. {error.hint}" if error.hint else error.message


def _lines(error: SyncmonError) -> list[str]:
    """What IPython shows in place of a traceback; no line of the program, which may hold a token."""
    lines = [f"{type(error).__name__}: {error.message}", *([error.hint] if error.hint else [])]
    places = [
        f"line {line} of {_file(frame.f_code.co_filename)}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_globals.get("__name__", "").partition(".")[0] not in _INNER
    ]
    return ["\n".join([*lines, *(f"  in {place}" for place in places)])]


def _file(name: str) -> str:
    """A file's name; that of a cell is not one a person knows."""
    main = sys.modules.get("__main__")
    if name.startswith("<") or "ipykernel_" in name or not Path(name).exists():
        return "the cell" if getattr(main, "get_ipython", None) else name
    return Path(name).name
