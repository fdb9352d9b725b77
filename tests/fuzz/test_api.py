"""Requests that are made up from the API's own description: no 5xx, every answer as described.

`make fuzz` is the long form; without ``--fuzz-cases`` a short form runs, the same each time.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import httpx
import hypothesis
import msgspec
import pytest
import requests
import schemathesis
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode

from syncmon_ext.api.routes import ROUTES
from syncmon_ext.model.state import State
from syncmon_ext.store.store import Store
from syncmon_ext.sync.lease import this_process
from tests.api.conftest import make_server
from tests.server import JupyterServer
from tests.simulated import SimulatedRun

schemathesis.checks.load_all_checks()
CHECKS: Final = [
    check
    for check in schemathesis.checks.CHECKS.get_all()
    if check.__name__
    in {
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "negative_data_rejection",
    }
]
SHORT_CASES: Final = 8  # of each call
SECONDS: Final = 60.0  # for an answer
# Beyond these Tornado answers by itself, before any handler: it hangs up, or sends a bare 400.
HEAD_BYTES: Final = 60_000  # of an address, below Tornado's 64 KiB of a head
PARAMETERS: Final = 1_000  # of a query
# Where the id exists, these start a process: at most one request of so many has such an id.
SLOW: Final = {
    "/connections/{name}/test",
    "/tasks/{task_id}/plan",
    "/tasks/{task_id}/rejects",
    "/tasks/{task_id}/rejects/replay",
    "/tasks/{task_id}/start",
}
SLOW_SHARE: Final = 20
CALLS: Final = sorted(
    ((f"/{route.path}", method) for route in ROUTES for method in route.operations),
    key=lambda call: (call[1] != "get", call),
)
SPEC: Final = {"source": "source", "target": "target", "tables": ["t"]}
KNOWN: Final = {
    "task_id": ["nightly", "stored", "running", "failed", "loop"],
    "name": ["source", "server"],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """A server with tasks in several states."""
    folder = tmp_path_factory.mktemp("fuzz")
    with sqlite3.connect(folder / "source.db") as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(n, "x") for n in range(50)])
    connection.close()
    with make_server(folder) as running:
        with running.client() as client:
            client.post("tasks", json={"task_id": "stored", **SPEC}).raise_for_status()
            owner = msgspec.to_builtins(this_process())
            loop = {"run_id": "0" * 32, "name": "loop", "total": 10, "owner": owner}
            client.post("loops", json=loop).raise_for_status()
        store = Store(running.store_url)
        for task_id, state in (("running", State.RUNNING), ("failed", State.FAILED)):
            run = SimulatedRun(store, task_id)
            run.write("a", "b", 'c "quoted"')
            run.commit("t", 10)
            run.sample()
            run.become(state)
        store.close()
        yield running


@pytest.fixture(scope="module")
def schema(server: JupyterServer) -> Any:
    """The API as the server describes it."""
    with server.client() as client:
        document = client.get("openapi.json").json()
    # Who may ask is walked in tests/api/test_doors.py; here everyone has the token.
    del document["security"], document["components"]["securitySchemes"]
    found = schemathesis.openapi.from_dict(document)
    found.config.update(base_url=server.api.rstrip("/"))
    return found


@pytest.fixture(scope="module")
def session(server: JupyterServer) -> Iterator[requests.Session]:
    """A client's connections, with the token."""
    with requests.Session() as opened:
        opened.headers["Authorization"] = f"token {server.token}"
        yield opened


def cases(operation: Any, path: str, *, known: bool) -> st.SearchStrategy[Case]:
    """Requests that keep to the description, and requests that break it in some place."""
    name = next((name for name in KNOWN if f"{{{name}}}" in path), None)
    ids: list[dict[str, Any] | None] = [None]
    if known and name is not None:
        ids = [{name: value} for value in KNOWN[name]]
    return st.one_of(
        operation.as_strategy(generation_mode=mode, **({"path_parameters": i} if i else {}))
        for mode in GenerationMode
        for i in ids
    )


def send(session: requests.Session, case: Case) -> requests.Response:
    """The answer; of a stream its head alone."""
    arguments = case.as_transport_kwargs()
    arguments["headers"] = {**arguments.get("headers", {}), **session.headers}
    address = requests.Request(params=arguments.get("params"), url=arguments["url"]).prepare().url
    hypothesis.assume(len(str(address)) < HEAD_BYTES and str(address).count("&") < PARAMETERS)
    answer = session.request(**arguments, stream=True, timeout=SECONDS)
    if answer.headers.get("Content-Type", "").startswith("text/event-stream"):
        answer._content = b""  # it ends when the run does
    else:
        _ = answer.content
    answer.close()
    return answer


def check(case: Case, answer: requests.Response) -> None:
    """Fail unless the answer is one that the description tells of."""
    case.validate_response(answer, checks=CHECKS)


@pytest.mark.parametrize(("path", "method"), CALLS, ids=lambda part: part)
def test_made_up_requests_are_answered_as_described(
    schema: Any,
    session: requests.Session,
    path: str,
    method: str,
    request: pytest.FixtureRequest,
    answers: Counter[int],
) -> None:
    total = request.config.getoption("--fuzz-cases", default=None)
    # What calls with few different requests leave is for the others.
    rest = len(CALLS) - CALLS.index((path, method))
    share = SHORT_CASES if total is None else max(1, (total - answers.total()) // rest)
    operation = schema[path][method.upper()]
    seen: Counter[int] = Counter()
    parts = {False: share}
    if "{" in path:
        known = max(1, share // SLOW_SHARE) if path in SLOW else share // 2
        parts = {True: known, False: share - known}
    for known, count in parts.items():

        @hypothesis.given(case=cases(operation, path, known=bool(known)))
        @hypothesis.settings(
            max_examples=count,
            deadline=None,
            database=None,
            derandomize=total is None,
            suppress_health_check=list(hypothesis.HealthCheck),
            phases=[hypothesis.Phase.generate],
        )
        def run(case: Case) -> None:
            answer = send(session, case)
            seen[answer.status_code] += 1
            check(case, answer)

        run()
    answers.update(seen)
    assert seen.total() > 0


def test_server_works_after_all_that(server: JupyterServer) -> None:
    assert httpx.get(f"{server.url}api").status_code == 200
    with server.client() as client:
        assert client.get("tasks").status_code == 200
    assert "Traceback" not in server.log.read_text()
