from __future__ import annotations

from syncmon_ext.services.sse_event import Frame, comment, event, retry


def test_event_has_the_fields_of_the_standard() -> None:
    assert event("log", b"[1]", "abc.1") == b"id: abc.1\nevent: log\ndata: [1]\n\n"


def test_event_without_id_leaves_the_clients_alone() -> None:
    assert event("progress", b"{}") == b"event: progress\ndata: {}\n\n"


def test_empty_id_clears_the_clients() -> None:
    assert event("reset", b"{}", "") == b"id: \nevent: reset\ndata: {}\n\n"


def test_comment_and_retry() -> None:
    assert comment() == b": \n\n"
    assert retry(1500) == b"retry: 1500\n\n"


def test_frame_is_one_chunk_made_once() -> None:
    frame = Frame(b"x" * 26)
    assert frame.chunk == b"1a\r\n" + b"x" * 26 + b"\r\n"
    assert frame.chunk is frame.chunk
