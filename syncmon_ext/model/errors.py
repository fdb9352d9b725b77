"""The errors that a caller can act on: each knows its code, its HTTP status and its remedy."""

from __future__ import annotations

from typing import ClassVar


class SyncmonError(Exception):
    """The root: a message that names the value, and a hint that offers the remedy."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 400

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process borders; keyword-only arguments need help to be pickled.
        return (_rebuild, (type(self), self.message, self.hint))


def _rebuild(kind: type[SyncmonError], message: str, hint: str) -> SyncmonError:
    return kind(message, hint=hint)


class InvalidRequest(SyncmonError):
    """A body, a query or a name that cannot be understood."""

    code = "invalid_request"


class InvalidConfig(SyncmonError):
    """A task or a connection that cannot be used as it is written."""

    code = "invalid_config"
    status = 422


class TaskNotFound(SyncmonError):
    """No task has this id."""

    code = "task_not_found"
    status = 404


class RunNotFound(SyncmonError):
    """The task has no such run."""

    code = "run_not_found"
    status = 404


class ConnectionNotFound(SyncmonError):
    """No connection has this name."""

    code = "connection_not_found"
    status = 404


class WrongState(SyncmonError):
    """The state of the run forbids the action."""

    code = "wrong_state"
    status = 409


class TaskExists(SyncmonError):
    """A task with this id exists already."""

    code = "task_exists"
    status = 409


class TaskReadOnly(SyncmonError):
    """The task is written in a file; the API does not change it."""

    code = "task_read_only"
    status = 409


class ConfigChanged(SyncmonError):
    """The task or the schema is not what the run froze when it began."""

    code = "config_changed"
    status = 409


class TargetBusy(SyncmonError):
    """Another run holds the target table."""

    code = "target_busy"
    status = 409


class StoreUnavailable(SyncmonError):
    """The store cannot be read or written now."""

    code = "store_unavailable"
    status = 503


class SecretUnresolved(SyncmonError):
    """A reference to a secret leads nowhere; the run pauses and no attempt is counted."""

    code = "secret_unresolved"
    status = 422


class DatabaseUnavailable(SyncmonError):
    """A database does not answer or broke the connection; worth another try."""

    code = "database_unavailable"
    status = 503


class ExecutorUnavailable(DatabaseUnavailable):
    """What carries chunks to other machines does not answer, or lost one; worth another try."""

    code = "executor_unavailable"


class MissingExtra(SyncmonError):
    """A package is not installed that only some tasks need; the run pauses and no attempt is counted."""

    code = "missing_extra"
    status = 422


class SnapshotLost(DatabaseUnavailable):
    """The exported snapshot that a chunk was to be read in is gone; a new one must be taken."""

    code = "snapshot_lost"


class SourceExchanged(SnapshotLost):
    """The file or the columns that rows are read from are others than when the unit began: it must begin
    again."""

    code = "source_exchanged"


class Serialization(DatabaseUnavailable):
    """The database rolled a transaction back for a conflict; worth another try."""

    code = "serialization_failure"


class CopyFailed(SyncmonError):
    """A unit cannot be copied: names the table, the chunk and the remedy."""

    code = "copy_failed"
    status = 422


class LossyCopy(CopyFailed):
    """Values of a column would not survive, and ``allow_lossy`` does not name it."""

    code = "lossy_copy"


class BadRow(CopyFailed):
    """A row that its own values, or the target's rules, keep out; never a lost connection or a lock.

    ``reason`` repeats no value of the row. Both extras stay within the process.
    """

    code = "bad_row"

    def __init__(self, message: str, *, hint: str = "", column: str = "", reason: str = "") -> None:
        super().__init__(message, hint=hint)
        self.column = column
        self.reason = reason


class CountMismatch(CopyFailed):
    """Rows read and rows landed differ."""

    code = "count_mismatch"


class FenceLost(SyncmonError):
    """A newer owner holds the run or its target table: this worker must not write any more."""

    code = "fence_lost"
    status = 409
