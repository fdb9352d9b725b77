"""Webhooks: told once of a run's end, whatever the receiver does, and never at a cloud's expense."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from syncmon_ext.model.errors import InvalidConfig
from syncmon_ext.model.state import State
from syncmon_ext.model.task import Throttle
from syncmon_ext.store import tasks
from tests.faults.harness import DDL, Rig, made_rows, rig
from tests.receiver import Receiver

SECRET_PATH = "/services/canary-T0k3n"


@contextmanager
def webhook_rig(folder: Path, table: str, **options: Any) -> Iterator[Rig]:
    """A rig whose task names the webhook ``ops``."""
    with rig(folder, "sqlite-sqlite", flights=300, on_finish="ops", **options) as it:
        toml = folder / "syncmon.toml"
        toml.write_text(f"{toml.read_text()}[webhooks.ops]\n{table}\n")
        yield it


def logged(it: Rig, words: str) -> bool:
    return any(words in message for message in it.messages())


def test_end_is_told_with_what_happened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPS_URL", "placeholder")
    monkeypatch.setenv("OPS_TOKEN", "canary-bearer")
    table = 'url = { env = "OPS_URL" }\ntoken = { env = "OPS_TOKEN" }'
    with Receiver().serving() as receiver, webhook_rig(tmp_path, table) as it:
        monkeypatch.setenv("OPS_URL", f"{receiver.url}{SECRET_PATH}")
        it.control.start("nightly", on_finish=f"{receiver.url}/given")
        assert it.until_ended().state is State.COMPLETED
        it.until(lambda: len(receiver.told) == 2)
        for where in ("ops", "given"):
            it.until(lambda where=where: logged(it, f"webhook {where} was told"))  # type: ignore[misc]
        by_path = {path: (headers, body) for path, headers, body in receiver.told}
        headers, body = by_path[SECRET_PATH]
        assert headers["Authorization"] == "Bearer canary-bearer"
        assert headers["Content-Type"] == "application/json"
        assert headers["Host"] == receiver.url.removeprefix("http://")
        assert "Authorization" not in by_path["/given"][0]
        progress = it.progress()
        assert body == {
            **body,
            "event": "run_finished",
            "task_id": "nightly",
            "run_id": progress.run_id,
            "name": "nightly",
            "state": "completed",
            "rows_committed": sum(map(len, made_rows(300).values())),
            "total_tables": len(DDL),
            "completed_tables": len(DDL),
            "failed_tables": 0,
            "error": None,
        }
        it.until(lambda: it.owner() is None)
    for path in tmp_path.glob("store.db*"):
        assert b"canary-" not in path.read_bytes(), path


def test_receiver_in_trouble_is_told_again_a_few_times(tmp_path: Path) -> None:
    with Receiver(503, 429, 200).serving() as receiver:
        with webhook_rig(tmp_path, f'url = "{receiver.url}"') as it:
            it.control.start("nightly")
            it.until_ended()
            it.until(lambda: logged(it, "webhook ops was told"))
        assert len(receiver.told) == 3


def test_receiver_that_is_broken_changes_nothing(tmp_path: Path) -> None:
    with Receiver(500).serving() as receiver:
        with webhook_rig(tmp_path, f'url = "{receiver.url}"') as it:
            it.control.start("nightly")
            assert it.until_ended().state is State.COMPLETED
            it.until(lambda: logged(it, "could not be told of the end: it answered 500"))
            it.assert_equal()
        assert len(receiver.told) == 4


def test_redirect_is_not_followed(tmp_path: Path) -> None:
    with Receiver(302).serving() as receiver:
        with webhook_rig(tmp_path, f'url = "{receiver.url}/one"') as it:
            it.control.start("nightly")
            it.until_ended()
            it.until(lambda: logged(it, "it answered 302"))
        assert [path for path, _, _ in receiver.told] == ["/one"]


def test_silent_receiver_does_not_hold_up_the_end(tmp_path: Path) -> None:
    receiver = Receiver()
    receiver.silent.set()
    with receiver.serving(), webhook_rig(tmp_path, f'url = "{receiver.url}"') as it:
        it.control.start("nightly")
        assert it.until_ended().state is State.COMPLETED
        ended = time.monotonic()
        it.control.start("nightly")  # the next run need not wait
        assert it.until_ended().state is State.COMPLETED
        assert time.monotonic() - ended < 30
        assert not logged(it, "was told")


@pytest.mark.parametrize(
    "url",
    ["http://169.254.169.254/latest/meta-data", "http://[::ffff:a9fe:a9fe]/", "http://metadata/"],
)
def test_metadata_address_is_refused(tmp_path: Path, url: str) -> None:
    with webhook_rig(tmp_path, f'url = "{url}"') as it:
        it.control.start("nightly")
        assert it.until_ended().state is State.COMPLETED
        it.until(lambda: logged(it, "a cloud's metadata service"))


def test_failed_and_stopped_runs_are_told(tmp_path: Path) -> None:
    with Receiver().serving() as receiver:
        slow = {"throttle": {"rows": 100}}
        with webhook_rig(tmp_path, f'url = "{receiver.url}"', **slow) as it:
            it.control.start("nightly")
            it.until(lambda: it.progress().rows_committed > 0)
            it.control.stop("nightly")
            it.until(lambda: it.progress().state is State.STOPPED)
            it.until(lambda: len(receiver.told) == 1)
            it.source.execute("DROP TABLE carriers")
            it.control.start("nightly")
            it.control.set_throttle("nightly", Throttle())
            assert it.until_ended().state is State.FAILED
            it.until(lambda: len(receiver.told) == 2)
    assert [body["state"] for body in receiver.bodies()] == ["stopped", "failed"]
    assert receiver.bodies()[1]["error"]


def test_worker_that_takes_over_tells_and_tells_once(tmp_path: Path) -> None:
    with Receiver().serving() as receiver:
        slow = {"throttle": {"rows": 200}}
        with webhook_rig(tmp_path, f'url = "{receiver.url}"', **slow) as it:
            it.control.start("nightly")
            it.until(lambda: it.progress().rows_committed > 0)
            it.signal_worker(signal.SIGKILL)
            it.control.set_throttle("nightly", Throttle())
            assert it.until_ended().state is State.COMPLETED, it.messages()
            it.until(lambda: logged(it, "webhook ops was told"))
        assert len(receiver.told) == 1


def test_run_that_is_given_up_is_told_without_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNCMON_FAULT", "plan.begin:1:kill")  # each worker again
    with Receiver().serving() as receiver, webhook_rig(tmp_path, f'url = "{receiver.url}"') as it:
        it.control.start("nightly")
        assert it.until_ended().state is State.FAILED
        it.until(lambda: logged(it, "webhook ops was told"))
    assert [body["state"] for body in receiver.bodies()] == ["failed"]
    assert "lost" in receiver.bodies()[0]["error"]


def test_webhook_that_is_not_there_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with rig(tmp_path, "sqlite-sqlite", flights=10) as it:
        for given in ("nowhere", "http://", "http://u:p@h/", "file:///etc/passwd"):
            with pytest.raises(InvalidConfig):
                it.control.start("nightly", on_finish=given)
        with it.store.read() as connection:
            assert tasks.position(connection, "nightly") is None
