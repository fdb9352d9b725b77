"""A carried job: what a worker of Dask does with a chunk, in one of its threads.

It gets references to secrets, and resolves them with the environment of its own process. While it runs it
looks at its run's board, a Variable of Dask's, for how fast it may go and whether it is still wanted. A job
that is not wanted any more has its connections cut: the databases roll back what it did.
"""

from __future__ import annotations

import pickle
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple

import msgspec

from syncmon_ext._version import __version__
from syncmon_ext.model.connection import Connection
from syncmon_ext.model.errors import CopyFailed, ExecutorUnavailable, SecretUnresolved
from syncmon_ext.store.deferred import Deferred
from syncmon_ext.sync import claiming, identity, phases, pool, throttle
from syncmon_ext.sync.databases import postgresql, sessions
from syncmon_ext.sync.databases.postgresql import PostgresSession
from syncmon_ext.sync.databases.sessions import READER, AnySession
from syncmon_ext.sync.ownership import Ownership
from syncmon_ext.sync.pool import Notice

distributed: Any = Deferred("distributed")  # few of its functions have types

_loading = threading.Lock()
# One for all runs: the scheduler keeps the last events of each topic for ever.
TOPIC: Final = "syncmon"
LOOK_SECONDS: Final = 0.5  # between two looks at the board: a throttle is felt well within 2 s
BOARD_SECONDS: Final = 5.0  # that the scheduler has to tell what stands there
WAIT_SECONDS: Final = 1.0  # a shorter wait for a database is not worth telling


class Board(NamedTuple):
    """What an owner of a run tells all of its jobs."""

    era: int  # how often it has taken them back
    rows: float  # per second, for each job; 0.0 = no bound
    bytes: float


def board_name(run_id: str, token: int) -> str:
    """The name of one owner's board: an older owner, who comes to himself late, has another."""
    return f"syncmon-{run_id}-{token}"


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it is sent. Plain data, so that whatever carries it may keep it or log it."""

    function: Callable[..., Any]
    source: Connection
    target: Connection
    own: Ownership
    rest: tuple[Any, ...]
    era: int
    places: tuple[str, str]  # the databases that are meant
    version: str = __version__

    @property
    def board(self) -> str:
        """The name of the board that it looks at."""
        return board_name(self.own.run_id, self.own.token)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a job: a result or an error, which is no error of Dask's."""

    result: Any = None
    error: Exception | None = None
    waits_for: str | None = None  # the database that it was at when it failed


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What a running job says every LOOK_SECONDS, as a sign of life, and beside that: notices."""

    job: str
    where: str  # it runs
    waits_for: str | None = None
    notice: tuple[str, str, bool] | None = None


class Unwanted(ExecutorUnavailable):
    """The job was taken back, or its run has another owner."""

    code = "unwanted"


class Parcel:
    """A job that is done by whoever unpickles it: what comes out is its answer, pickled.

    Dask is given the bytes, and ``pickle.loads`` to call. A worker of Dask that cannot load what it is sent
    shuts down; this way one without syncmon fails the job instead.
    """

    def __init__(self, job: Carried) -> None:
        self._job = job

    def __reduce__(self) -> tuple[Any, ...]:
        return _run, (self._job,)


def _run(job: Carried) -> bytes:
    return pickle.dumps(run(job))


def run(job: Carried) -> Answer:
    """Do the job, in a thread of a worker of Dask. Run twice it changes nothing."""
    doing = _Doing(job, f"Dask's worker {distributed.get_worker().address}")
    with _loading:  # imports that threads begin at once, from two ends of a circle, fail
        postgresql.load()
    try:
        with doing.watched():
            return Answer(result=_done(job, doing.where))
    except Exception as error:
        return Answer(error=pool.sendable(error), waits_for=doing.waits_for)
    finally:
        sessions.close_all()


def _done(job: Carried, where: str) -> Any:
    if job.version != __version__:
        raise CopyFailed(
            f"{where} has syncmon {__version__}, and the run's worker {job.version}",
            hint="install the same syncmon for Dask's workers, and start the task again",
        )
    try:
        with (
            sessions.opened(job.source, READER) as source,
            sessions.opened(job.target, job.own.application_name) as target,
        ):
            for session, known in zip((source, target), job.places, strict=True):
                identity.check(session, known, where)
            if isinstance(target, PostgresSession):
                claiming.end_namesakes(target)
    except SecretUnresolved as error:
        raise SecretUnresolved(
            f"on {where}: {error.message}",
            hint="set it where Dask's workers are started: they resolve secrets themselves; then start "
            "the task again",
        ) from None
    return job.function(job.source, job.target, job.own, *job.rest)


class _Doing:
    """A job under way in this thread, with a second one that listens for it."""

    def __init__(self, job: Carried, where: str) -> None:
        self._job = job
        self.where = where
        self.waits_for: str | None = None
        self._waits_since = 0.0
        self._rates = (0.0, 0.0)
        self._wanted = True
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._lines: list[socket.socket] = []

    def rates(self) -> tuple[float, float]:
        """Rows/s and bytes/s that this chunk may use now."""
        self._check()
        return self._rates

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Within it the thread's connections are cut as soon as the job is not wanted."""
        try:
            client = distributed.get_client(timeout=BOARD_SECONDS)
            variable = distributed.Variable(self._job.board, client=client)
            self._look(variable)
        except OSError as error:
            raise ExecutorUnavailable(f"{self.where} cannot ask its scheduler: {error}") from None
        self._check()
        self._client = client
        threading.Thread(target=self._watch, args=(variable,), name="watch", daemon=True).start()
        throttle.set_pace(self)
        phases.listen(self._waits)
        pool.listen(self._notice)
        sessions.watch(self._opened)
        try:
            yield
        finally:
            self._over.set()
            throttle.set_pace(None)
            phases.listen(None)
            pool.listen(None)
            sessions.watch(None)
            with self._lock:
                for line in self._lines:
                    line.close()
                self._lines.clear()

    def _watch(self, variable: Any) -> None:
        while True:
            self._tell()
            if self._over.wait(LOOK_SECONDS):
                return
            # A scheduler that does not answer changes nothing: the database is asked at the end.
            with suppress(Exception):
                self._look(variable)
            if not self._wanted:
                self._cut()

    def _look(self, variable: Any) -> None:
        try:
            board = Board(*variable.get(timeout=BOARD_SECONDS))
        except TimeoutError:  # it was taken down: the run has left the cluster
            self._wanted = False
            return
        self._rates = board.rows, board.bytes
        self._wanted = board.era <= self._job.era

    def _check(self) -> None:
        if not self._wanted:
            raise Unwanted(f"job {self._job.own.job} was taken back")

    def _cut(self) -> None:
        with self._lock:
            for line in self._lines:
                with suppress(OSError):
                    line.shutdown(socket.SHUT_RDWR)

    def _opened(self, session: AnySession) -> None:
        if isinstance(session, PostgresSession):
            with self._lock:
                self._lines.append(session.line())
        self._check()

    # -- what a person is told -----------------------------------------------------------------

    def _waits(self, name: str | None) -> None:
        if name != self.waits_for:
            self.waits_for, self._waits_since = name, time.monotonic()

    def _tell(self) -> None:
        lasts = time.monotonic() - self._waits_since >= WAIT_SECONDS
        self._say(waits_for=self.waits_for if lasts else None)

    def _notice(self, notice: Notice) -> None:
        self._say(notice=(notice.label, notice.message, notice.over))

    def _say(self, **said: Any) -> None:
        sentence = Said(job=self._job.own.job, where=self.where, **said)
        with suppress(Exception):  # a scheduler that went away hears nothing
            self._client.log_event(TOPIC, msgspec.to_builtins(sentence))
