"""Tells webhooks that a run has ended: a few tries, bounded in time, never to a cloud's metadata."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec

from syncmon_ext.model.connection import SecretReference
from syncmon_ext.model.errors import SyncmonError
from syncmon_ext.model.log import Level
from syncmon_ext.model.state import ENDED
from syncmon_ext.model.webhook import RunFinished, Webhook, check_address
from syncmon_ext.store import log, runs, tasks
from syncmon_ext.store.deferred import Deferred
from syncmon_ext.store.log import NewEntry
from syncmon_ext.store.store import Store
from syncmon_ext.sync import secrets, url_rules

if TYPE_CHECKING:
    import stamina
else:
    stamina = Deferred("stamina")

TRIES: Final = 4
TRY_SECONDS: Final = 5.0  # to connect, and again to answer
ALL_TRIES: Final = timedelta(seconds=30)
PATIENCE_SECONDS: Final = 45.0  # with a webhook, all tries together
FIRST_WAIT: Final = timedelta(seconds=0.5)
LONGEST_WAIT: Final = timedelta(seconds=5)
_LATER: Final = frozenset({408, 425, 429, 500, 502, 503, 504})  # worth another try


class NotTold(Exception):
    """An answer that is worth another try."""


def tell_of_end(store: Store, run_id: str) -> None:
    """Tell all webhooks of a run that has ended, and log how that went."""
    with store.read() as connection:
        summary = runs.summary(connection, run_id)
        webhooks = runs.webhooks(connection, run_id)
        name = tasks.name(connection, summary.task_id)
    if summary.state not in ENDED or not webhooks:
        return
    finished = RunFinished(
        **{
            field: getattr(summary, field)
            for field in RunFinished.__struct_fields__
            if field not in ("event", "name")
        },
        name=name,
    )
    body = msgspec.json.encode(finished)
    entries = [_entry(*pair) for pair in zip(webhooks, _all_told(webhooks, body), strict=True)]
    with store.write() as connection:
        log.append(connection, summary.task_id, run_id, entries)


def _all_told(webhooks: Sequence[Webhook], body: bytes) -> list[str | None]:
    """What went wrong with each, None where all is well. A receiver that drips holds nothing up."""
    answers: list[str | None] = [f"no answer within {PATIENCE_SECONDS:.0f} s"] * len(webhooks)

    def tell(index: int, webhook: Webhook) -> None:
        answers[index] = _told(webhook, body)

    deadline = time.monotonic() + PATIENCE_SECONDS
    threads = [
        threading.Thread(target=tell, args=pair, daemon=True) for pair in enumerate(webhooks)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return list(answers)


def _entry(webhook: Webhook, trouble: str | None) -> NewEntry:
    if trouble is None:
        return NewEntry(level=Level.INFO, message=f"webhook {webhook.name} was told of the end")
    message = f"webhook {webhook.name} could not be told of the end: {trouble}"
    return NewEntry(level=Level.WARNING, message=message)


def _told(webhook: Webhook, body: bytes) -> str | None:
    """Send ``body``; what went wrong, in words that do not hold the address."""
    import httpx  # an eighth of a worker's start, and most have nobody to tell

    try:
        url = _resolved(webhook.url, webhook.name)
        check_address(url, f"webhook {webhook.name}")
        token = None if webhook.token is None else _resolved(webhook.token, webhook.name)
        status = _sent(url, token, body, f"webhook {webhook.name}")
    except SyncmonError as error:
        return error.message
    except NotTold as error:
        return str(error)
    except (httpx.HTTPError, OSError, ValueError) as error:
        return type(error).__name__  # the driver's words may hold the address
    return None if 200 <= status < 300 else f"it answered {status}"


def _resolved(value: str | SecretReference, name: str) -> str:
    if isinstance(value, str):
        return value
    return secrets.value_of(value, f"a secret of webhook {name}").strip()


def _sent(url: str, token: str | None, body: bytes, whose: str) -> int:
    import httpx

    for attempt in stamina.retry_context(
        on=(httpx.TransportError, OSError, NotTold),
        attempts=TRIES,
        timeout=ALL_TRIES,
        wait_initial=FIRST_WAIT,
        wait_max=LONGEST_WAIT,
    ):
        with attempt:
            status = _post(url, token, body, whose)
            if status in _LATER:
                raise NotTold(f"it answered {status}")
            return status
    raise AssertionError("unreachable: the context returns or raises")


def _post(url: str, token: str | None, body: bytes, whose: str) -> int:
    """One try; the address that was checked is the one that is connected to."""
    import httpx

    target = httpx.URL(url)
    host = urlsplit(url).hostname or ""
    port = target.port or (443 if target.scheme == "https" else 80)
    address = url_rules.addresses(host, port, whose)[0]
    headers = {"Content-Type": "application/json", "Host": target.netloc.decode("ascii")}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    # No redirect is followed and no proxy asked: either would lead elsewhere than was checked.
    with (
        httpx.Client(timeout=TRY_SECONDS, follow_redirects=False, trust_env=False) as client,
        client.stream(
            "POST",
            target.copy_with(host=address),
            content=body,
            headers=headers,
            extensions={"sni_hostname": host},
        ) as answer,
    ):
        return answer.status_code
