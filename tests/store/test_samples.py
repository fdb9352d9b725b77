from __future__ import annotations

from itertools import pairwise

from syncmon_ext.model.sample import HistorySample
from syncmon_ext.store import samples
from syncmon_ext.store.store import Store
from tests.store.make import make_run, make_task


def add(store: Store, run_id: str, count: int, keep: int = samples.KEEP_SAMPLES) -> None:
    """``count`` samples, the n-th of them (from 0) with n rows."""
    with store.write() as connection:
        for number in range(count):
            samples.add_sample(
                connection,
                run_id,
                elapsed_seconds=float(number),
                rows_committed=number,
                bytes_committed=10 * number,
                overall_progress=None if number == 0 else 1.5,
                speed=2.5,
                speed_bytes=None,
                keep=keep,
            )


def history(store: Store, run_id: str | None = None) -> list[HistorySample]:
    with store.read() as connection:
        return samples.history(connection, "nightly", run_id)


def test_samples_come_back_as_they_were_added(store: Store) -> None:
    run_id = make_run(store, make_task(store))
    add(store, run_id, 2)
    first, second = history(store)
    assert (first.task_id, first.run_id) == ("nightly", run_id)
    assert (first.overall_progress, second.overall_progress) == (None, 1.5)
    assert (second.rows_committed, second.bytes_committed, second.speed) == (1, 10, 2.5)
    assert second.speed_bytes is None
    assert first.time <= second.time
    assert first.time.tzinfo is not None


def test_history_is_that_of_a_run_or_of_all_runs_in_order(store: Store) -> None:
    task = make_task(store)
    first, second = make_run(store, task), make_run(store, task)
    add(store, second, 2)
    add(store, first, 3)
    assert [sample.run_id for sample in history(store)] == [first] * 3 + [second] * 2
    assert len(history(store, second)) == 2
    with store.read() as connection:
        assert samples.history(connection, "archive", None) == []
        assert samples.history(connection, "archive", first) == []


def test_old_samples_are_thinned_out_and_both_ends_stay(store: Store) -> None:
    run_id = make_run(store, make_task(store))
    add(store, run_id, 1_000, keep=100)
    rows = [sample.rows_committed for sample in history(store)]
    assert len(rows) <= 100
    assert rows == sorted(set(rows))
    assert (rows[0], rows[-1]) == (0, 999)
    assert rows[-20:] == list(range(980, 1_000))  # what is new is whole
    # What is old is thinner, but no part of the history is missing.
    assert max(after - before for before, after in pairwise(rows)) <= 8 * (1_000 / 100)


def test_thinning_stays_even_over_a_run_of_days() -> None:
    keep, numbers = 400, list[int]()
    for number in range(40_000):
        numbers.append(number)
        if len(numbers) > keep:
            doomed = set(samples.superfluous(numbers))
            numbers = [n for n in numbers if n not in doomed]
    assert (numbers[0], numbers[-1]) == (0, 39_999)
    assert keep // 2 <= len(numbers) <= keep
    assert max(after - before for before, after in pairwise(numbers)) <= 8 * (40_000 / keep)


def test_few_samples_are_thinned_without_losing_an_end() -> None:
    assert samples.superfluous([]) == []
    assert samples.superfluous([1]) == []
    assert samples.superfluous([1, 2, 3, 4]) == [2]


def test_thinning_leaves_other_runs_alone(store: Store) -> None:
    task = make_task(store)
    first, second = make_run(store, task), make_run(store, task)
    add(store, first, 20)
    add(store, second, 20, keep=10)
    assert len(history(store, first)) == 20
    assert len(history(store, second)) <= 10
