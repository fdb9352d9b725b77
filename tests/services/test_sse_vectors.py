"""The wire format: what the Python client reads of the WHATWG text's examples, and of what we encode."""

from __future__ import annotations

import json

import pytest

from syncmon_ext.services.sse_event import comment, event, retry
from syncmon_widgets.stream import Parser

# (stream, the events as (type, data, last event id)); most are of the standard's own examples.
VECTORS: list[tuple[bytes, list[tuple[str, str, str]]]] = [
    (b"data: YHOO\ndata: +2\ndata: 10\n\n", [("message", "YHOO\n+2\n10", "")]),
    (
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
        [
            ("message", "first event", "1"),
            ("message", "second event", ""),
            ("message", " third event", ""),
        ],
    ),
    (b"data\n\ndata\ndata\n\ndata:", [("message", "", ""), ("message", "\n", "")]),
    (b"data:test\n\ndata: test\n\n", [("message", "test", ""), ("message", "test", "")]),
    (b"\xef\xbb\xbfdata: after a BOM\n\n", [("message", "after a BOM", "")]),
    (b"\xef\xbb\xbf\xef\xbb\xbfdata: two BOMs\n\n", []),
    (b"data: a\r\n\r\ndata: b\r\rdata: c\n\n", [("message", c, "") for c in "abc"]),
    (b"data: mixed\r\ndata: ends\rdata: here\n\r\n", [("message", "mixed\nends\nhere", "")]),
    (b"event: end\ndata: x\n\ndata: y\n\n", [("end", "x", ""), ("message", "y", "")]),
    (b"event: nothing\n\ndata: y\n\n", [("message", "y", "")]),
    (b"id: 7\n\ndata: y\n\n", [("message", "y", "7")]),
    (b"id: 7\ndata: x\n\nid: 8\x00\ndata: y\n\n", [("message", "x", "7"), ("message", "y", "7")]),
    (b"id: 7\ndata: x\n\nid\ndata: y\n\n", [("message", "x", "7"), ("message", "y", "")]),
    (b": comment\n:\n:data: no\ndata: y\n\n", [("message", "y", "")]),
    (b"Data: no\n data: no\ndata : no\nunknown: no\ndata: y\n\n", [("message", "y", "")]),
    (b"data:\xc3\xa9 \xf0\x9f\x98\x80\n\n", [("message", "é 😀", "")]),
    (b"data:\xff\n\n", [("message", "\ufffd", "")]),
    (b"data: cut off\n", []),
]


@pytest.mark.parametrize("stream, events", VECTORS)
@pytest.mark.parametrize("size", [1, 2, 7, 1_000])
def test_vectors_are_read_as_the_standard_says(
    stream: bytes, events: list[tuple[str, str, str]], size: int
) -> None:
    parser = Parser()
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert [found for piece in pieces for found in parser.feed(piece)] == events


@pytest.mark.parametrize(
    "line, milliseconds",
    [
        (b"1500", 1500),
        (b"", None),
        (b"-1", None),
        (b"1.5", None),
        (b"1e3", None),
        (b"soon", None),
        (b"\xd9\xa1", None),
    ],
)
def test_retry_is_digits_or_ignored(line: bytes, milliseconds: int | None) -> None:
    parser = Parser()
    assert parser.feed(b"retry: " + line + b"\n\n") == []
    assert parser.retry == milliseconds


@pytest.mark.parametrize(
    "message",
    [
        "plain",
        "",
        "a\nb",
        "a\r\nb\r",
        "\ufeffBOM",
        "data: x\n\nid: 9",
        ": no comment",
        "é😀\u2028\u2029\x85",
        "\0",
    ],
)
def test_what_we_encode_is_what_a_client_reads(message: str) -> None:
    data = json.dumps([{"message": message}], ensure_ascii=False).encode()
    parser = Parser()
    stream = retry(1_500) + comment() + event("log", data, "abc.1") + event("progress", data)
    first, second = parser.feed(stream)
    assert parser.retry == 1_500
    assert (first[0], json.loads(first[1]), first[2]) == ("log", [{"message": message}], "abc.1")
    assert (second[0], json.loads(second[1])) == ("progress", [{"message": message}])
    assert second[2] == "abc.1", "an event without an id keeps the position"
    (third,) = parser.feed(event("reset", b"{}", ""))
    assert third == ("reset", "{}", "")
