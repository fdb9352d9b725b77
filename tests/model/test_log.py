from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncmon_ext.model.log import MESSAGE_BYTES, clean_message

ESCAPES = st.sampled_from(
    [
        "\x1b[31m",
        "\x1b[0m",
        "\x1b[2J",
        "\x1b]0;title\x07",
        "\x1b]8;;http://x\x1b\\",
        "\x1bM",
        "\x1b",
    ]
)
NASTY = st.lists(st.one_of(st.text(), ESCAPES, st.sampled_from("\r\n\t\0\x7f\x9b"))).map("".join)


@given(NASTY)
def test_cleaned_message_is_one_line_without_control_characters(text: str) -> None:
    cleaned = clean_message(text)
    assert not any(unicodedata.category(character) == "Cc" for character in cleaned)
    assert len(cleaned.encode("utf-8")) <= MESSAGE_BYTES


@given(NASTY)
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    once = clean_message(text)
    assert clean_message(once) == once


@given(st.text(alphabet=st.characters(exclude_categories=["Cc", "Cs"]), max_size=1_000))
def test_plain_text_is_left_alone(text: str) -> None:
    assert clean_message(text) == text


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("\x1b[31;1mred\x1b[0m", "red"),
        ("a\nb\r\nc", "a ⏎ b ⏎ c"),
        ("a\tb", "a b"),
        ("\x1b]0;owned\x07after", "after"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("nul\0 bell\a c1\x9b31m", "nul bell c131m"),
        ("emoji 🛫 and é", "emoji 🛫 and é"),
    ],
)
def test_escapes_and_line_ends_are_taken_out(text: str, cleaned: str) -> None:
    assert clean_message(text) == cleaned


@pytest.mark.parametrize("character", ["a", "é", "☃", "🛫"])
def test_long_message_is_cut_between_characters(character: str) -> None:
    cleaned = clean_message(character * 2 * MESSAGE_BYTES)
    assert cleaned.endswith("…")
    assert set(cleaned[:-1]) == {character}
    size = len(cleaned.encode("utf-8"))
    assert MESSAGE_BYTES - 4 <= size <= MESSAGE_BYTES


def test_message_of_exactly_the_limit_is_not_cut() -> None:
    assert clean_message("a" * MESSAGE_BYTES) == "a" * MESSAGE_BYTES


def test_lone_surrogate_cannot_break_the_log() -> None:
    assert clean_message("file \udcff") == "file ?"
