"""In place of ``from tqdm.auto import tqdm``: the same bars, which are tasks as well."""

from __future__ import annotations

from syncmon_widgets.bar import tqdm, trange

__all__ = ["tqdm", "trange"]
