"""Who may write for a run: the identity that a target's fence row is compared with."""

from __future__ import annotations

import msgspec


class Ownership(msgspec.Struct, frozen=True, kw_only=True):
    """The store, the run and the token of its present owner.

    A fence row with the same store and run and a higher token, or of another run, means that somebody
    else owns the target table now: the transaction that finds it must abort with FenceLost.
    """

    store_id: str
    task_id: str
    run_id: str
    token: int
    job: str = ""  # of a chunk that is copied on another machine

    @property
    def application_name(self) -> str:
        """What a PostgreSQL backend of this owner is called, so that a later owner can end it."""
        parts = ["syncmon", self.run_id, self.job, str(self.token)]
        return "/".join(part for part in parts if part)


def replay_of(task_id: str) -> str:
    """What stands for a run's id while rejects of the task are replayed."""
    return f"replay-{task_id}"
