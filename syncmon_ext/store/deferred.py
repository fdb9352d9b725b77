"""Modules that are imported when something of them is first used: a worker's start waits for none of them."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Deferred:
    """Stands for the module ``name``; which attributes there are is what the module says."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        """What the module has under this name."""
        value = getattr(import_module(self._name), attribute)
        setattr(self, attribute, value)
        return value
