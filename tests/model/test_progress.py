from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from syncmon_ext.model.progress import BEFORE_LAST_SWAP, totals, unit_progress
from syncmon_ext.model.state import UnitState
from syncmon_ext.model.unit import UnitRuntime

BLANK = UnitRuntime(
    unit_id="t",
    table="t",
    target_table="t",
    state=UnitState.PENDING,
    progress=None,
    rows_total=None,
    rows_total_is_estimate=False,
    rows_committed=0,
    bytes_committed=0,
    speed=None,
    eta_seconds=None,
    chunks_total=None,
    chunks_committed=0,
    attempt=0,
    started_at=None,
    finished_at=None,
    error=None,
)
ROWS = st.integers(min_value=0, max_value=2**40)
UNITS = st.lists(
    st.builds(
        lambda state, committed, total: replace(
            BLANK, state=state, rows_committed=committed, rows_total=total
        ),
        st.sampled_from(UnitState),
        ROWS,
        st.none() | ROWS,
    ),
    max_size=6,
)


def unit(name: str, state: UnitState, committed: int, total: int | None) -> UnitRuntime:
    return replace(
        BLANK, unit_id=name, table=name, state=state, rows_committed=committed, rows_total=total
    )


def test_unit_is_at_100_only_once_it_is_in_place() -> None:
    assert unit_progress(UnitState.RUNNING, 50, 200) == 25.0
    assert unit_progress(UnitState.RUNNING, 200, 200) == BEFORE_LAST_SWAP
    assert unit_progress(UnitState.SWAPPING, 300, 200) == BEFORE_LAST_SWAP
    assert unit_progress(UnitState.COMPLETED, 190, 200) == 100.0
    assert unit_progress(UnitState.COMPLETED, 0, None) == 100.0


def test_unit_of_unknown_size_has_no_percentage() -> None:
    assert unit_progress(UnitState.RUNNING, 50, None) is None
    assert unit_progress(UnitState.RUNNING, 0, 0) == 0.0


def test_overall_progress_is_by_rows() -> None:
    sums = totals(
        [
            unit("small", UnitState.COMPLETED, 10, 10),
            unit("big", UnitState.RUNNING, 40, 190),
            unit("failed", UnitState.FAILED, 0, 50),
            unit("skipped", UnitState.SKIPPED, 0, 0),
        ]
    )
    assert sums.overall_progress == 20.0
    assert (sums.rows_total, sums.rows_committed) == (250, 50)
    assert (sums.total_tables, sums.completed_tables, sums.failed_tables) == (4, 1, 2)
    assert sums.current_table == "big"


def test_table_that_swaps_is_the_current_one() -> None:
    units = [unit("a", UnitState.RUNNING, 0, 1), unit("b", UnitState.SWAPPING, 1, 1)]
    assert totals(units).current_table == "b"
    assert totals([unit("a", UnitState.PENDING, 0, 1)]).current_table is None


def test_one_unknown_size_makes_the_whole_unknown() -> None:
    units = [unit("a", UnitState.COMPLETED, 5, 5), unit("b", UnitState.RUNNING, 5, None)]
    assert totals(units).rows_total is None
    assert totals(units).overall_progress is None
    assert totals(units, floor=30.0).overall_progress == 30.0


def test_estimate_of_one_table_makes_the_total_an_estimate() -> None:
    estimated = replace(unit("a", UnitState.RUNNING, 1, 2), rows_total_is_estimate=True)
    assert totals([estimated, unit("b", UnitState.PENDING, 0, 2)]).rows_total_is_estimate


def test_empty_tables_count_by_table() -> None:
    units = [unit("a", UnitState.COMPLETED, 0, 0), unit("b", UnitState.PENDING, 0, 0)]
    assert totals(units).overall_progress == 50.0


def test_run_without_units_is_at_the_start() -> None:
    assert totals([]).overall_progress == 0.0


@given(UNITS, st.floats(min_value=0, max_value=BEFORE_LAST_SWAP))
def test_overall_progress_never_falls_and_ends_with_the_last_table(
    units: list[UnitRuntime], floor: float
) -> None:
    overall = totals(units, floor).overall_progress
    if units and all(u.state is UnitState.COMPLETED for u in units):
        assert overall == 100.0
    elif overall is not None:
        assert overall <= BEFORE_LAST_SWAP
        assert overall >= floor or not units
