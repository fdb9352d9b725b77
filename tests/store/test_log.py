from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy.exc import NoResultFound

from syncmon_ext.model.errors import StoreUnavailable
from syncmon_ext.model.log import Level, LogEntry
from syncmon_ext.store import log, tasks
from syncmon_ext.store.store import Store
from tests.store.make import make_task

WRITERS = 4
TRANSACTIONS = 40  # of each writer


def add(
    store: Store, *messages: str, task_id: str = "nightly", keep: int = log.KEEP_ENTRIES
) -> int:
    with store.write() as connection:
        return log.append(
            connection,
            task_id,
            None,
            [log.NewEntry(level=Level.INFO, message=message) for message in messages],
            keep,
        )


def found(store: Store, limit: int = 100, **conditions: Any) -> list[LogEntry]:
    with store.read() as connection:
        return log.newest_entries(connection, "nightly", limit, **conditions)


def seqs(entries: Sequence[LogEntry]) -> list[int]:
    return [entry.seq for entry in entries]


def write_with_rollbacks(url: str, number: int, ready: Any, answers: Any) -> None:
    """Write in transactions of random size, a third of which are rolled back."""
    store = Store(url)
    dice = random.Random(number)
    committed = []
    ready.wait()
    for turn in range(TRANSACTIONS):
        messages = [f"{number}:{turn}:{part}" for part in range(dice.randint(1, 4))]
        fails = dice.random() < 1 / 3
        deadline = time.monotonic() + 60
        while True:
            try:
                with store.write() as connection:
                    entries = [log.NewEntry(level=Level.INFO, message=m) for m in messages]
                    log.append(connection, "nightly", None, entries)
                    if fails:
                        raise KeyError("rolled back")
                committed += messages
            except KeyError:
                pass
            except StoreUnavailable:  # SQLite: another writer was faster for five seconds
                if time.monotonic() < deadline:
                    continue
                raise
            break
    store.close()
    answers.put(committed)


def test_positions_are_gapless_and_in_commit_order_under_concurrent_writers(
    store: Store, store_url: str
) -> None:
    make_task(store)
    context = multiprocessing.get_context("spawn")
    ready, answers = context.Barrier(WRITERS), context.Queue()
    writers = [
        context.Process(target=write_with_rollbacks, args=(store_url, number, ready, answers))
        for number in range(WRITERS)
    ]
    for writer in writers:
        writer.start()
    # A reader that follows the log sees each entry once, in order, whatever commits meanwhile.
    followed: list[LogEntry] = []
    while any(writer.is_alive() for writer in writers) and answers.qsize() < WRITERS:
        followed += found(store, 50, after=followed[-1].seq if followed else 0)
    committed = [message for _ in writers for message in answers.get(timeout=180)]
    for writer in writers:
        writer.join(timeout=90)
        assert writer.exitcode == 0
    while more := found(store, 50, after=followed[-1].seq if followed else 0):
        followed += more
    assert seqs(followed) == list(range(1, len(committed) + 1))
    assert sorted(entry.message for entry in followed) == sorted(committed)
    for number in range(WRITERS):
        own = [e.message for e in followed if e.message.startswith(f"{number}:")]
        assert own == [message for message in committed if message.startswith(f"{number}:")]
    with store.read() as connection:
        position = tasks.position(connection, "nightly")
    assert position is not None
    assert position.log_seq == len(committed)


def test_positions_count_per_task(store: Store) -> None:
    make_task(store, "nightly")
    make_task(store, "archive")
    assert add(store, "a", "b") == 2
    assert add(store, "c", task_id="archive") == 1
    assert add(store, "d") == 3
    assert [(e.seq, e.message) for e in found(store)] == [(1, "a"), (2, "b"), (3, "d")]


def test_entry_of_an_unknown_task_is_refused(store: Store) -> None:
    with pytest.raises(StoreUnavailable) as caught:
        add(store, "a", task_id="nobody")
    assert isinstance(caught.value.__cause__, NoResultFound)


def test_entries_come_back_as_they_were_written(store: Store) -> None:
    make_task(store)
    entry = log.NewEntry(level=Level.ERROR, message="it broke: ünï ☃ '\"", unit="airlines")
    with store.write() as connection:
        log.append(connection, "nightly", "run1", [entry])
    assert found(store) == [
        LogEntry(
            seq=1,
            task_id="nightly",
            run_id="run1",
            time=entry.time,
            level=Level.ERROR,
            unit="airlines",
            message=entry.message,
        )
    ]


def test_messages_are_cleaned_on_their_way_in(store: Store) -> None:
    make_task(store)
    add(store, "\x1b[31mred\x1b[0m\nline\0two")
    assert found(store)[0].message == "red ⏎ linetwo"


def test_newest_entries_come_oldest_first_and_pages_join(store: Store) -> None:
    make_task(store)
    add(store, *(str(n) for n in range(1, 11)))
    assert seqs(found(store, 3)) == [8, 9, 10]
    assert seqs(found(store, 3, before=8)) == [5, 6, 7]
    assert seqs(found(store, 3, before=2)) == [1]
    assert seqs(found(store, 3, after=4)) == [5, 6, 7]
    assert seqs(found(store, 3, after=10)) == []
    assert seqs(found(store, 3, after=4, before=9)) == [6, 7, 8]


def test_entries_are_found_by_level_and_unit(store: Store) -> None:
    make_task(store)
    with store.write() as connection:
        log.append(
            connection,
            "nightly",
            None,
            [
                log.NewEntry(level=level, message="m", unit=unit)
                for level in Level
                for unit in ("a", "b", None)
            ],
        )
    assert seqs(found(store, level=Level.WARNING)) == [7, 8, 9]
    assert seqs(found(store, unit="b")) == [2, 5, 8, 11]
    assert seqs(found(store, level=Level.ERROR, unit="a")) == [10]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("100%", ["at 100% of rows"]),
        ("%", ["at 100% of rows"]),
        ("_", ["table air_lines", "a_b\\c"]),
        ("air_l", ["table air_lines"]),
        ("airx", []),
        ("\\", ["a_b\\c"]),
        ("ROWS", ["at 100% of rows", "at 1000 rows"]),
        ("/", ["one/two"]),
        ("'", ["it's"]),
    ],
)
def test_search_takes_its_text_as_it_is(store: Store, text: str, expected: list[str]) -> None:
    make_task(store)
    add(store, "at 100% of rows", "at 1000 rows", "table air_lines", "a_b\\c", "one/two", "it's")
    assert [entry.message for entry in found(store, contains=text)] == expected
    with store.read() as connection:
        batches = list(log.all_entries(connection, "nightly", contains=text))
    assert [entry.message for batch in batches for entry in batch] == expected


def test_log_is_trimmed_at_its_old_end(store: Store) -> None:
    make_task(store)
    make_task(store, "archive")
    add(store, "kept", task_id="archive")
    for start in range(0, 3 * log.TRIM_EVERY, 500):
        add(store, *(str(n) for n in range(start + 1, start + 501)), keep=1_200)
    entries = found(store, 10_000)
    assert seqs(entries) == list(range(1_801, 3_001))
    assert entries[0].message == "1801"
    with store.read() as connection:
        position = tasks.position(connection, "nightly")
        other = tasks.position(connection, "archive")
    assert position is not None
    assert (position.log_first_seq, position.log_seq) == (1_801, 3_000)
    assert other is not None
    assert (other.log_first_seq, other.log_seq) == (1, 1)
    assert add(store, "next") == 3_001


def test_trim_never_moves_the_first_position_back(store: Store) -> None:
    make_task(store)
    add(store, *"abcdef")
    with store.write() as connection:
        log.trim(connection, "nightly", 5)
        log.trim(connection, "nightly", 3)
        position = tasks.position(connection, "nightly")
    assert position is not None
    assert position.log_first_seq == 5


def test_export_gives_every_entry_once_in_batches(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "EXPORT_BATCH", 4)
    make_task(store)
    add(store, *(str(n) for n in range(1, 13)))
    with store.read() as connection:
        batches = list(log.all_entries(connection, "nightly"))
    assert [seqs(batch) for batch in batches] == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]]


def test_no_entries_are_a_defect_of_the_caller(store: Store) -> None:
    make_task(store)
    with pytest.raises(ValueError, match="no entries"):
        add(store)
