"""A probe of the own event stream: whether events come at once, or something on the way holds them."""

from __future__ import annotations

import time
from typing import Final

import httpx

ANSWER_SECONDS: Final = 5.0  # a server that lives sends its first bytes in milliseconds
HINT: Final = (
    "let it pass {path} through unbuffered: nginx needs `proxy_buffering off`, others have a setting "
    "for streaming or server-sent events; compression must be off there"
)


class StreamProbe:
    """The stream of all tasks at ``url``, which ends in a slash, read until its first bytes."""

    def __init__(self, url: str, token: str) -> None:
        self.address: Final = f"{url}api/v1/stream"
        self._headers: Final = {"Authorization": f"token {token}"} if token else {}

    def trouble(self) -> str | None:
        """What is wrong with the stream, or None; takes ten seconds at most."""
        deadline = time.monotonic() + 2 * ANSWER_SECONDS
        try:
            with httpx.stream(
                "GET", self.address, headers=self._headers, timeout=ANSWER_SECONDS
            ) as answer:
                return _trouble(answer, deadline)
        except httpx.ReadTimeout:
            return f"no event comes within {ANSWER_SECONDS:.0f} s: something on the way buffers"
        except httpx.HTTPError as error:
            return f"the stream breaks off ({type(error).__name__})"

    @property
    def hint(self) -> str:
        """How it is mended."""
        return HINT.format(path=httpx.URL(self.address).path)


def _trouble(answer: httpx.Response, deadline: float) -> str | None:
    if answer.status_code != 200:
        return f"the stream is answered with {answer.status_code}"
    media = answer.headers.get("content-type", "")
    if not media.startswith("text/event-stream"):
        return f"the stream comes as {media or 'nothing known'}: something on the way changed it"
    coding = answer.headers.get("content-encoding", "identity")
    if coding != "identity":
        return f"something on the way compresses the stream ({coding}), which holds events back"
    for piece in answer.iter_raw():
        if piece:
            return None
        if time.monotonic() > deadline:
            break
    return "the stream ends before its first event"
