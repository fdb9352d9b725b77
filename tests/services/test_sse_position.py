from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from syncmon_ext.services.sse_position import Position, decode, digest, encode, task_key

KEYS = st.integers().map(lambda number: digest([str(number)], 8))
POSITIONS = st.builds(
    Position,
    store=st.integers(0, 16**12 - 1).map(lambda number: f"{number:012x}"),
    scope=st.integers().map(lambda number: digest([str(number)], 4)),
    listing=st.integers().map(lambda number: digest([str(number)], 4)),
    seqs=st.dictionaries(KEYS, st.integers(1, 2**63 - 1), max_size=5),
    over=st.booleans(),
)


@given(POSITIONS)
def test_position_survives_its_text(position: Position) -> None:
    text = encode(position)
    assert decode(text) == position
    assert text.isascii()
    assert not set(text) & set(" \r\n\0"), "it stands in a header and on an id line"


@given(st.text(max_size=80))
def test_any_text_is_a_position_or_none(text: str) -> None:
    position = decode(text)
    if position is not None:
        assert decode(encode(position)) is not None


def test_task_without_entries_is_left_out() -> None:
    position = Position(store="0" * 12, scope="aaaa", listing="bbbb", seqs={"AAAAAAAA": 0})
    assert encode(position) == "000000000000aaaabbbb"


def test_task_that_is_made_again_has_another_key() -> None:
    first, second = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    assert task_key("nightly", first) != task_key("nightly", second)
    assert task_key("nightly", first) == task_key("nightly", first)


def test_position_of_a_thousand_tasks_fits_into_a_header() -> None:
    seqs = {digest([str(number)], 8): 10_000_000 for number in range(1_000)}
    text = encode(Position(store="0" * 12, scope="aaaa", listing="bbbb", seqs=seqs))
    assert len(text) < 16_384
