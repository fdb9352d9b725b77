from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.server import JupyterServer

OWNER = {"host": "elsewhere.example", "boot_id": "b", "pid": 4, "process_started": 1.0}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with JupyterServer(tmp_path_factory.mktemp("server")) as server, server.client() as client:
        yield client


def new_loop(**values: Any) -> dict[str, Any]:
    return {"run_id": uuid.uuid4().hex, "name": "cleaning", "owner": OWNER, "total": 9, **values}


def report(orders: dict[str, Any], number: int, **values: Any) -> dict[str, Any]:
    return {
        "run_id": orders["run_id"],
        "token": orders["token"],
        "number": number,
        "phase": "running",
        "rows_committed": 3,
        "elapsed_seconds": 1.5,
        **values,
    }


def test_loop_reports_and_is_steered(api: httpx.Client) -> None:
    made = api.post("loops", json=new_loop())
    assert made.status_code == 201
    orders = made.json()
    assert (orders["task_id"], orders["state"]) == ("cleaning", "running")
    answer = api.post("loops/cleaning/updates", json=report(orders, 1))
    assert answer.json() == orders
    assert api.get("tasks/cleaning/progress").json()["rows_committed"] == 3
    assert api.post("tasks/cleaning/pause").status_code == 202
    answer = api.post("loops/cleaning/updates", json=report(orders, 2))
    assert answer.json()["state"] == "pausing"
    answer = api.post("loops/cleaning/updates", json=report(orders, 3, phase="waiting"))
    assert answer.json()["state"] == "paused"
    assert api.post("tasks/cleaning/stop").json()["state"] == "stopping"
    answer = api.post("loops/cleaning/updates", json=report(orders, 4, phase="stopped"))
    assert answer.json()["state"] == "stopped"
    assert api.get("tasks/cleaning").json()["kind"] == "loop"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        (new_loop(run_id="no"), 400),
        (new_loop(name=""), 400),
        (new_loop(total=-1), 400),
        (new_loop(total=2**70), 400),
        (new_loop(owner={**OWNER, "pid": 2**40}), 400),
        (new_loop(owner={**OWNER, "host": "a\0b"}), 400),
        (new_loop(colour="red"), 400),
    ],
)
def test_bad_loop_is_refused(api: httpx.Client, body: dict[str, Any], status: int) -> None:
    answer = api.post("loops", json=body)
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == "invalid_request"


def test_report_out_of_order_and_of_nobody(api: httpx.Client) -> None:
    orders = api.post("loops", json=new_loop(name="lost")).json()
    answer = api.post("loops/lost/updates", json=report(orders, 7))
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "loop_lost")
    answer = api.post("loops/nobody/updates", json=report(orders, 1))
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "task_not_found")


def test_loop_that_failed_is_not_stopped(api: httpx.Client) -> None:
    orders = api.post("loops", json=new_loop(name="broken")).json()
    api.post("loops/broken/updates", json=report(orders, 1, phase="failed", error="no colour"))
    answer = api.post("tasks/broken/stop")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "wrong_state")
    assert "is failed" in answer.json()["error"]["message"]
    progress = api.get("tasks/broken/progress").json()
    assert (progress["state"], progress["error"]) == ("failed", "no colour")
