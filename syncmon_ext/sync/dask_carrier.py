"""The carrier that has Dask's workers do the jobs.

Dask decides where a job runs, and runs it again where a worker died. What it has not taken back by itself is
given up by the board, which running jobs look at, and by the fence, which no job passes that comes too late.
"""

from __future__ import annotations

import pickle
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from typing import Any, Final

import msgspec

from syncmon_ext.model.connection import Connection
from syncmon_ext.model.errors import (
    CopyFailed,
    DatabaseUnavailable,
    ExecutorUnavailable,
    SyncmonError,
)
from syncmon_ext.store.deferred import Deferred
from syncmon_ext.sync import carried, pool
from syncmon_ext.sync.attempts import attempted
from syncmon_ext.sync.carried import Answer, Board, Carried, Said
from syncmon_ext.sync.ownership import Ownership
from syncmon_ext.sync.pool import ChildDied, Notice

distributed: Any = Deferred("distributed")  # few of its functions have types

# What Dask's client raises where its scheduler is gone.
LOST: Final = (OSError, TimeoutError, CancelledError)
CONNECT_SECONDS: Final = 5.0
BEAT_SECONDS: Final = 0.5  # between two looks whether the scheduler is still there
ANSWER_SECONDS: Final = 30.0  # for an answer, of some hundred bytes, from where it lies
CLOSE_SECONDS: Final = 2.0
SILENT_SECONDS: Final = 5.0  # without a sign of life, and its worker is taken for lost


class _Call:
    """A job on its way."""

    def __init__(self, label: str, job: Carried) -> None:
        self.label = label
        self.job = job
        self.where = ""  # it was last heard of
        self.future: Future[Any] = Future()
        self.wake = threading.Event()
        self.heard: float | None = None  # when it last said that it runs
        self._waits: tuple[str, float] | None = None

    def wait_for(self, name: str | None) -> None:
        """Note what the job waits for from now on, unless it did already."""
        if name is None:
            self._waits = None
        elif self._waits is None or self._waits[0] != name:
            self._waits = name, time.monotonic()

    def runs(self, now: float) -> bool:
        """Whether a worker of Dask is at it, as far as can be heard."""
        return self.heard is not None and now - self.heard < SILENT_SECONDS

    def is_lost(self, now: float) -> bool:
        """Whether a worker of Dask was at it, and is no longer."""
        return self.heard is not None and not self.runs(now)

    def waits(self, now: float) -> tuple[str, float] | None:
        """What it waits for, and for how many seconds."""
        return None if self._waits is None else (self._waits[0], now - self._waits[1])


class DaskCarrier:
    """Carries jobs to the cluster of one scheduler. Each waits in a thread of its own for its answer.

    ``on_notice`` is called in such a thread, or in Dask's.
    """

    def __init__(self, scheduler: str, own: Ownership, on_notice: Callable[[Notice], None]) -> None:
        self._scheduler = scheduler
        self._own = own
        self._on_notice = on_notice
        self._board = Board(0, 0.0, 0.0)
        self._changed = threading.Event()
        self._calls: dict[str, _Call] = {}
        self._lock = threading.Lock()
        self._connecting, self._writing = threading.Lock(), threading.Lock()
        self._client: Any = None
        self._closed = False
        self.places = ("", "")  # which databases the jobs are to reach
        threading.Thread(target=self._publish, name="board", daemon=True).start()

    def carry(
        self,
        label: str,
        function: Callable[..., Any],
        source: Connection,
        target: Connection,
        own: Ownership,
        *rest: Any,
        last: bool = False,
    ) -> Future[Any]:
        """Begin the job on a worker of Dask; its connections, and what they hold, end with each job."""
        name = uuid.uuid4().hex[:8]
        with self._lock:
            call = _Call(
                label,
                Carried(
                    function=function,
                    source=source,
                    target=target,
                    own=msgspec.structs.replace(own, job=name),
                    rest=rest,
                    era=self._board.era,
                    places=self.places,
                ),
            )
            self._calls[name] = call
        serve = threading.Thread(target=self._serve, args=(call,), name=name, daemon=True)
        serve.start()
        return call.future

    def take_back(self) -> bool:
        """Tell the jobs under way that nobody wants them any more."""
        with self._lock:
            calls = list(self._calls.values())
            self._calls.clear()
            self._board = self._board._replace(era=self._board.era + 1)
        self._changed.set()
        for call in calls:
            call.wake.set()
        return bool(calls)

    def waits(self) -> list[tuple[str, float]]:
        """What jobs wait for: a database, the scheduler, or, where none of them runs, a worker."""
        now = time.monotonic()
        with self._lock:
            calls = list(self._calls.values())
        running = [call for call in calls if call.runs(now)]
        for call in calls:
            if call.is_lost(now):
                call.wait_for(self._worker)
        found = [wait for call in running or calls if (wait := call.waits(now)) is not None]
        return sorted(found, key=lambda wait: -wait[1])

    def set_rates(self, rows: float, size_bytes: float) -> None:
        """Bound each chunk in flight; 0.0 = no bound. Felt by running chunks within a second."""
        with self._lock:
            changed = self._board._replace(rows=rows, bytes=size_bytes)
            if changed == self._board:
                return
            self._board = changed
        self._changed.set()

    def close(self) -> None:
        """Take back what is under way, and leave the cluster."""
        self.take_back()
        self._closed = True
        self._changed.set()
        leave = threading.Thread(target=self._leave, name="leave", daemon=True)
        leave.start()
        leave.join(CLOSE_SECONDS)

    @property
    def _worker(self) -> str:
        return f"a free worker of Dask at {self._scheduler}"

    # -- one job -------------------------------------------------------------------------------

    def _serve(self, call: _Call) -> None:
        pool.listen(self._on_notice)
        result, error = None, None
        try:
            result = attempted(call.label, self._tried, call)
        except Exception as raised:
            error = raised
        with self._lock:
            self._calls.pop(call.job.own.job, None)
        with suppress(InvalidStateError):
            if error is None:
                call.future.set_result(result)
            else:
                call.future.set_exception(error)

    def _tried(self, call: _Call) -> Any:
        """The job's result, or its error; ExecutorUnavailable where Dask was at fault."""
        self._check(call)
        call.heard, call.where = None, ""
        client = self._connected(call)
        call.wait_for(self._worker)
        call.wake = wake = threading.Event()
        try:
            # No other job has this key: a result that Dask knows already would be an old one.
            key = f"syncmon-{self._own.task_id}-{uuid.uuid4().hex}"
            parcel = pickle.dumps(carried.Parcel(call.job))
            future = client.submit(pickle.loads, parcel, key=key, pure=False)
            future.add_done_callback(lambda _: wake.set())
            while not wake.wait(BEAT_SECONDS) and client.status == "running":
                self._check(call)
            self._check(call)
            answer = self._answer(call, future)
            if isinstance(answer.error, carried.Unwanted):
                # It is wanted: the client came back by itself, to a scheduler that is new and has no board.
                self._write(client)
        except Exception as error:
            if isinstance(error, LOST) or client.status != "running":
                raise self._lost(error) from None
            raise
        if answer.error is None:
            call.wait_for(None)
            return answer.result
        if isinstance(answer.error, DatabaseUnavailable):
            call.wait_for(answer.waits_for)
        raise answer.error

    def _check(self, call: _Call) -> None:
        if call.job.era != self._board.era:
            raise ChildDied("the job was taken back")

    def _answer(self, call: _Call, future: Any) -> Answer:
        if future.status == "finished":
            answer = pickle.loads(future.result(timeout=ANSWER_SECONDS))  # noqa: S301  # our own
            if isinstance(answer, Answer):
                return answer
            raise TypeError(f"Dask gave {type(answer).__name__} instead of an answer")
        if future.status == "error":
            raise self._failed(call, future.exception(timeout=ANSWER_SECONDS))
        raise CancelledError

    def _failed(self, call: _Call, error: BaseException | None) -> SyncmonError:
        """What it means that Dask itself could not do a job."""
        if isinstance(error, distributed.KilledWorker):
            return CopyFailed(
                f"{call.label}: the workers of Dask that copied it ended in the middle of it, one after "
                "the other",
                hint="see their logs: are they out of memory? Lower chunk_rows, or give them more",
            )
        what = "load syncmon" if isinstance(error, ImportError) else "do the job"
        return CopyFailed(
            f"{call.label}: Dask at {self._scheduler} could not {what} ({type(error).__name__}: {error})",
            hint="install the same syncmon for Dask's workers as here, and start the task again",
        )

    # -- the cluster ---------------------------------------------------------------------------

    def _lost(self, error: BaseException) -> ExecutorUnavailable:
        said = f": {error}".splitlines()[0] if str(error) else ""
        return ExecutorUnavailable(
            f"Dask's scheduler {self._scheduler} does not answer{said}",
            hint="is it up, and can it be reached from here?",
        )

    def _connected(self, call: _Call) -> Any:
        """A client that has told the cluster what stands on the board; a new one where the last is lost."""
        name = f"Dask's scheduler {self._scheduler}"
        call.wait_for(name)
        with self._connecting:
            self._check(call)
            client = self._client
            if client is not None and client.status == "running":
                return client
            self._client = None
            if client is not None:
                _abandon(client)
            self._client = self._joined()
            return self._client

    def _joined(self) -> Any:
        # Held before its constructor runs: one that fails in there closes itself when it is collected, and
        # where Dask's own thread collects it, that waits for itself.
        client: Any = distributed.Client.__new__(distributed.Client)
        joined = False
        try:
            client.__init__(
                self._scheduler, timeout=CONNECT_SECONDS, set_as_default=False, name="syncmon"
            )
            joined = True
            client.subscribe_topic(carried.TOPIC, self._heard)
            self._write(client)
            # Jobs of the owner before this one look at a board that is taken down.
            self._variable(client, self._own.token - 1).delete()
        except Exception as error:
            _abandon(client)
            if joined or isinstance(error, LOST):
                raise self._lost(error) from None
            raise CopyFailed(
                f"Dask's scheduler {self._scheduler} cannot be used ({type(error).__name__}: {error})",
                hint="check the address, and Dask's own configuration here: tls:// needs certificates",
            ) from None
        return client

    def _publish(self) -> None:
        """Keep the board as it should be, in a thread: the scheduler of the run waits for nobody."""
        while not self._closed:
            self._changed.wait()
            self._changed.clear()
            client = self._client
            if client is None or self._closed:
                continue
            try:
                self._write(client)
            except Exception:  # a client that is lost is replaced, and the board written then
                if client.status == "running":
                    time.sleep(BEAT_SECONDS)
                    self._changed.set()

    def _write(self, client: Any) -> None:
        with self._writing:  # or what was read earlier might be written later
            board = self._variable(client, self._own.token)
            board.set(list(self._board), timeout=CONNECT_SECONDS)

    def _variable(self, client: Any, token: int) -> Any:
        return distributed.Variable(carried.board_name(self._own.run_id, token), client=client)

    def _heard(self, event: tuple[float, Any]) -> None:
        said = msgspec.convert(event[1], Said)
        with self._lock:
            call = self._calls.get(said.job)
        if call is None:
            return
        if said.notice is not None:
            self._on_notice(Notice(*said.notice))
            return
        call.heard = time.monotonic()
        if call.where not in ("", said.where):
            told = f"{call.where} was lost in the middle of it; {said.where} does it again"
            self._on_notice(Notice(call.label, told))
        call.where = said.where
        call.wait_for(said.waits_for)

    def _leave(self) -> None:
        client = self._client
        if client is None:
            return
        with suppress(Exception):
            # A job that finds no board is not wanted.
            self._variable(client, self._own.token).delete()
        _close(client)


def _abandon(client: Any) -> None:
    """Close a client that may be lost, without waiting for it."""
    threading.Thread(target=_close, args=(client,), daemon=True).start()


def _close(client: Any) -> None:
    """Close a client, whatever has become of it; nothing is left to do when it is collected."""
    with suppress(Exception):
        client.close(CLOSE_SECONDS)
    client.status = "closed"
