"""Fixtures of the engine's tests."""

from tests.sync.databases import database

__all__ = ["database"]
