from __future__ import annotations

import re
from typing import Any

import httpx
import jsonschema
import pytest

from syncmon_ext.api.operation import Operation, Route
from syncmon_ext.api.routes import ROUTES


@pytest.fixture
def document(client: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("openapi.json").json()
    return found


def checked(document: dict[str, Any], answer: httpx.Response, path: str) -> httpx.Response:
    """The answer, which is one that the description tells of."""
    operation = document["paths"][path][answer.request.method.lower()]
    described = operation["responses"].get(str(answer.status_code))
    assert described, f"{answer.status_code} of {path} is not described: {answer.text}"
    schema = described.get("content", {}).get("application/json", {}).get("schema")
    if schema is not None:
        schema = {**schema, "components": document["components"]}
        jsonschema.validate(answer.json(), schema, cls=jsonschema.Draft202012Validator)
    return answer


def test_description_has_every_call(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    found = {
        (path, method)
        for path, item in document["paths"].items()
        for method in item.keys() - {"parameters"}
    }
    assert found == {(f"/{route.path}", method) for route in ROUTES for method in route.operations}
    ids = [
        item[method]["operationId"]
        for item in document["paths"].values()
        for method in item.keys() - {"parameters"}
    ]
    assert len(ids) == len(set(ids))


def test_description_holds_no_dangling_reference(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for name in re.findall(
        r'"#/components/schemas/([^"]+)"', httpx.Response(200, json=document).text
    ):
        assert name in schemas
    for schema in schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_answers_are_as_described(document: dict[str, Any], client: httpx.Client) -> None:
    spec = {"source": "source", "target": "target", "tables": ["t"], "throttle": {"rows": 5}}
    task = "/tasks/{task_id}"
    for answer, path in [
        (client.post("tasks", json={"task_id": "described", **spec}), "/tasks"),
        (client.post("tasks", json={"task_id": "described", **spec}), "/tasks"),
        (client.post("tasks", content=b"{"), "/tasks"),
        (client.get("tasks"), "/tasks"),
        (client.get("tasks?nonsense=1"), "/tasks"),
        (client.get("tasks/described"), task),
        (client.put("tasks/described", json=spec), task),
        (client.get("tasks/described/progress"), f"{task}/progress"),
        (client.get("tasks/described/logs"), f"{task}/logs"),
        (client.get("tasks/described/logs?limit=x"), f"{task}/logs"),
        (client.get("tasks/described/runs"), f"{task}/runs"),
        (client.get("tasks/described/history"), f"{task}/history"),
        (client.post("tasks/described/pause"), f"{task}/pause"),
        (client.post("tasks/described/stop"), f"{task}/stop"),
        (client.patch("tasks/described/throttle", json={"rows": 7}), f"{task}/throttle"),
        (client.patch("tasks/described/throttle", json={"rows": "7"}), f"{task}/throttle"),
        (client.get("connections"), "/connections"),
        (client.post("connections/source/test"), "/connections/{name}/test"),
        (client.post("connections/none/test"), "/connections/{name}/test"),
        (client.get("openapi.json"), "/openapi.json"),
        (client.delete("tasks/described"), task),
        (client.delete("tasks/described"), task),
    ]:
        checked(document, answer, path)


OPERATIONS = [
    (route, method, operation) for route in ROUTES for method, operation in route.operations.items()
]
NAMES = {"task_id": "nightly", "name": "source"}


@pytest.mark.parametrize(
    ("route", "method", "operation"), OPERATIONS, ids=[f"{m} {r.path}" for r, m, _ in OPERATIONS]
)
def test_refusals_that_are_described_are_given(
    document: dict[str, Any],
    client: httpx.Client,
    route: Route,
    method: str,
    operation: Operation,
) -> None:
    path, of_route = route.path.format(**NAMES), f"/{route.path}"
    described = set(document["paths"][of_route][method]["responses"])
    provoked = {
        400: client.request(method, path, params={"nonsense": "1"}),
        403: httpx.request(method, f"{client.base_url}{path}"),
    }
    if "{" in route.path:
        none = route.path.format(task_id="nowhere", name="nowhere")
        body = {"json": BODIES[route.path]} if route.path in BODIES else {}
        provoked[404] = client.request(method, none, **body)
    elif 404 in operation.errors:
        provoked[404] = client.request(method, path, params={"task": "nowhere"})
    if operation.request is not None:
        headers = {"Content-Type": "application/json"}
        provoked[413] = client.request(method, path, content=b" " * 1_048_577, headers=headers)
        headers = {"Content-Type": "text/plain"}
        provoked[415] = client.request(method, path, content=b"{}", headers=headers)
    if 406 in operation.errors:
        provoked[406] = client.request(method, path, headers={"Accept": "image/png"})
    for status, answer in provoked.items():
        assert answer.status_code == status, f"{status}: {answer.text}"
        checked(document, answer, of_route)
    rest = described - {str(status) for status in provoked} - {str(operation.status)}
    assert rest <= {"204", "409", "422", "503", "504"}, "each has a test of its own"
    assert "500" not in described, "a defect is no answer to rely on"


BODIES: dict[str, dict[str, Any]] = {
    "tasks/{task_id}": {"source": "source", "target": "target", "tables": ["t"]},
    "tasks/{task_id}/throttle": {"rows": 1},
    "loops/{task_id}/updates": {
        "run_id": "0" * 32,
        "token": 1,
        "number": 1,
        "phase": "running",
        "rows_committed": 0,
        "elapsed_seconds": 0,
    },
}
