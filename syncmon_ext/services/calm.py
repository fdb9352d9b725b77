"""Whether a look at the store can be left out, since nobody has written there and nothing is watched."""

from __future__ import annotations

import threading
from typing import Final

from syncmon_ext.store.changes import Changes
from syncmon_ext.store.store import Store

MOST_LEFT_OUT: Final = 10  # looks in a row: a file that is gone would not tell that it changed
_NEVER: Final = threading.Event()


class Calm:
    """Asks SQLite, for microseconds, where a look takes milliseconds of each second.

    Of a database server it never says that there is calm: it could not be asked without waiting.
    Used from one thread.
    """

    def __init__(self, store: Store) -> None:
        self._changes = Changes(store) if store.is_sqlite else None
        self._seen = False
        self._left_out = 0

    def lasts(self) -> bool:
        """Whether the last look saw all there is. Where not, the caller looks, and says what it saw."""
        if self._changes is None:
            return False
        try:
            changed = self._changes.wait(_NEVER, 0.0)
        except Exception:  # whoever looks learns what is wrong, and says so
            self._changes.close()
            changed = True
        if changed or not self._seen or self._left_out >= MOST_LEFT_OUT:
            self._seen, self._left_out = False, 0
            return False
        self._left_out += 1
        return True

    def note(self, *, watched: bool) -> None:
        """The look has succeeded; ``watched`` = something is under way whose heart may stop."""
        self._seen = not watched

    def close(self) -> None:
        """Let go of the store."""
        if self._changes is not None:
            self._changes.close()
