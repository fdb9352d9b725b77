"""What a request may hold: each thing that cannot be understood is named, and nothing is done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from syncmon_ext.api.task_sse import MOST_TASKS
from tests.api.conftest import make_server
from tests.server import JupyterServer

SPEC = {"source": "source", "target": "target", "tables": ["t"]}
JSON = {"Content-Type": "application/json"}


def error(answer: httpx.Response, status: int) -> dict[str, str]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    found: dict[str, str] = answer.json()["error"]
    assert set(found) == {"code", "message", "hint"}
    assert "Traceback" not in answer.text
    return found


BODIES = {
    "broken": b'{"source": ',
    "array": b"[1, 2]",
    "text": b'"x"',
    "null": b"null",
    "number": b"7",
    "deep": b"[" * 200_000 + b"]" * 200_000,
    "deep object": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "twice": b'{"source": "a", "source": "b"}',
    "NaN": b'{"chunk_rows": NaN}',
    "infinite": b'{"chunk_rows": 1e999}',
    "huge number": b'{"chunk_rows": ' + b"9" * 10_000 + b"}",
    "65 bits": b'{"chunk_rows": 18446744073709551616}',
    "no UTF-8": b'{"source": "\xff"}',
    "UTF-16": '{"source": "x"}'.encode("utf-16"),
    "BOM": b"\xef\xbb\xbf{}",
    "NUL": b'{"task_id": "x\\u0000"}',
    "NUL in a list": b'{"task_id": "x", "tables": ["\\u0000"]}',
    "half a pair": b'{"task_id": "\\ud800"}',
    "empty": b"",
    "spaces": b"   ",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize(
    "call", ["POST tasks", "PUT tasks/nightly", "PATCH tasks/nightly/throttle"]
)
def test_body_that_cannot_be_understood(client: httpx.Client, call: str, body: bytes) -> None:
    method, path = call.split()
    found = error(client.request(method, path, content=body, headers=JSON), 400)
    assert found["code"] == "invalid_request"
    assert found["message"]


def test_name_that_stands_twice_is_found_among_very_many(client: httpx.Client) -> None:
    names = ",".join(f'"{n:x}":0' for n in range(80_000))
    body = f'{{{names},"{79_999:x}":1}}'.encode()
    found = error(client.post("tasks", content=body, headers=JSON), 400)
    assert "'1387f' stands twice" in found["message"]


def test_very_many_unknown_fields_are_not_all_named(client: httpx.Client) -> None:
    body = ("{" + ",".join(f'"field{n}":0' for n in range(50_000)) + "}").encode()
    found = error(client.post("tasks", content=body, headers=JSON), 400)
    assert "field0: unknown field" in found["message"]
    assert len(found["message"]) < 1_000


@pytest.mark.parametrize("command", ["start", "pause", "stop"])
@pytest.mark.parametrize(
    "body", [b"[]", b'"x"', b"null", b'{"nonsense": 1}', b"{", b'{"fresh": "yes"}']
)
def test_command_with_a_body_that_cannot_be_understood(
    client: httpx.Client, command: str, body: bytes
) -> None:
    error(client.post(f"tasks/nightly/{command}", content=body, headers=JSON), 400)


@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_body_of_another_type_is_refused(client: httpx.Client, media: str) -> None:
    headers = {"Content-Type": media}
    for path in ("tasks", "tasks/nightly/start", "connections/source/test"):
        found = error(client.post(path, content=json.dumps(SPEC), headers=headers), 415)
        assert "application/json" in found["hint"]


@pytest.mark.parametrize("size", [1_048_577, 30_000_000])
def test_body_of_more_than_a_mebibyte_is_refused(client: httpx.Client, size: int) -> None:
    body = b'{"source": "' + b"x" * size + b'"}'
    error(client.post("tasks", content=body, headers=JSON), 413)

    def pieces() -> Any:
        for _ in range(size // 65_536 + 1):
            yield b" " * 65_536

    error(client.post("tasks", content=pieces(), headers=JSON), 413)
    assert client.get("tasks").status_code == 200


def test_body_of_a_mebibyte_is_read(client: httpx.Client) -> None:
    body = json.dumps({"task_id": "x", **SPEC, "nonsense": 1}).ljust(1_048_576).encode()
    assert "nonsense" in error(client.post("tasks", content=body, headers=JSON), 422)["message"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"nonsense": 1}, "nonsense"),
        ({"tables": [{"name": "t", "nonsense": 1}]}, "nonsense"),
        ({"workers": "many"}, "workers"),
        ({"workers": 0}, "workers"),
        ({"mode": "merge!"}, "mode"),
        ({"source": "nowhere"}, "nowhere"),
        ({"tables": []}, "tables"),
        ({"executor": "ray"}, "executor"),
        ({"executor": "dask"}, "scheduler"),
        ({"scheduler": "tcp://elsewhere.example.org:8786"}, "scheduler"),
        ({"executor": "dask", "scheduler": "tcp://elsewhere.example.org:8786"}, "executor"),
        ({"throttle": {"rows": -1}}, "throttle.rows"),
        ({"tables": [{"name": "t", "where": {"a": {"~": 1}}}]}, "~"),
    ],
)
def test_configuration_that_is_wrong_names_the_place(
    client: httpx.Client, change: dict[str, Any], named: str
) -> None:
    found = error(client.post("tasks", json={"task_id": "wrong", **SPEC, **change}), 422)
    assert named in found["message"]
    assert client.get("tasks/wrong").status_code == 404


@pytest.mark.parametrize("task_id", ["", "a b", "../x", "-x", "é", "a" * 65, "%s{0}", "a\nb"])
def test_id_that_cannot_be_one(client: httpx.Client, task_id: str) -> None:
    error(client.post("tasks", json={"task_id": task_id, **SPEC}), 422)


def test_id_that_is_missing_or_no_text(client: httpx.Client) -> None:
    assert "task_id" in error(client.post("tasks", json=SPEC), 400)["message"]
    error(client.post("tasks", json={"task_id": 7, **SPEC}), 400)
    both = error(client.post("tasks", json={"id": "x", **SPEC}), 400)["message"]
    assert both == "task_id: is missing; id: unknown field"


IDS = [
    "..%2f..%2fetc",
    "%00",
    "a%0ab",
    "%25s%7b0%7d",
    "a" * 10_000,
    "%c3%a9",
    "a%20b",
    "%2e%2e",
]


@pytest.mark.parametrize("task_id", IDS, ids=lambda text: text[:12])
@pytest.mark.parametrize(
    "rest", ["", "/progress", "/logs", "/stream", "/runs", "/plan", "/history"]
)
def test_odd_ids_in_paths_are_not_found(server: JupyterServer, task_id: str, rest: str) -> None:
    with server.client() as client:
        request = client.build_request("GET", "tasks/x")
        request.url = request.url.copy_with(raw_path=f"/api/v1/tasks/{task_id}{rest}".encode())
        assert error(client.send(request), 404)["code"] == "task_not_found"


def test_path_that_is_no_text_is_refused(server: JupyterServer) -> None:
    with server.client() as client:
        error(client.get("tasks/%ff/progress"), 400)


@pytest.mark.parametrize(
    "limit", ["-1", "0", "abc", "1e9", "1001", "", " 5", "5_0", "+5", "٣", "9" * 60]
)
def test_limit_is_bounded(client: httpx.Client, limit: str) -> None:
    found = error(client.get("tasks/nightly/logs", params={"limit": limit}), 400)
    if len(limit) < 40:
        assert "from 1 to 1000" in found["hint"]


@pytest.mark.parametrize(
    "query",
    [
        "after=9223372036854775808",
        "after=-1",
        "before=0",
        "level=loud",
        "level=",
        "q=%00",
        "q=%ff",
        "unit=%00",
        "limit=1&limit=2",
        "nonsense=1",
    ],
)
def test_query_that_cannot_be_understood(client: httpx.Client, query: str) -> None:
    error(client.get(f"tasks/nightly/logs?{query}"), 400)


def test_stream_of_many_tasks_is_bounded(client: httpx.Client) -> None:
    names = [("task", "nightly")] * MOST_TASKS
    assert client.head("stream", params=[*names, ("logs", "nightly")]).status_code == 200
    found = error(client.get("stream", params=[*names, ("task", "x")]), 400)
    assert "tasks are named" in found["message"]


def test_jupyters_own_parameters_may_stand_in_a_query(client: httpx.Client) -> None:
    answer = client.get("tasks/nightly/logs?1732464000000&no_track_activity=1")
    assert answer.status_code == 200


def test_unknown_path_is_not_found(client: httpx.Client) -> None:
    for path in (
        "",
        "nothing",
        "tasks/",
        "tasks/nightly/nothing",
    ):
        assert error(client.get(path), 404)["code"] == "not_found"


def test_method_that_is_not_there(client: httpx.Client) -> None:
    for path in ("start", "pause", "stop"):
        answer = client.get(f"tasks/nightly/{path}")
        error(answer, 405)
        assert answer.headers["allow"] == "POST, OPTIONS"
    error(client.delete("tasks"), 405)
    assert client.get("tasks/nightly/progress").json()["state"] == "idle"


def test_head_is_get_without_a_body(client: httpx.Client) -> None:
    for path in ("tasks", "tasks/nightly", "tasks/nightly/progress", "tasks/nightly/logs"):
        head, get = client.head(path), client.get(path)
        assert head.status_code == 200
        assert head.content == b""
        assert head.headers["content-length"] == get.headers["content-length"]
    assert client.head("tasks/nowhere").status_code == 404
    stream = client.head("tasks/nightly/stream")
    assert stream.status_code == 200
    assert stream.headers["content-type"].startswith("text/event-stream")


def test_options_tell_the_methods(client: httpx.Client) -> None:
    answer = client.options("tasks/nightly")
    assert answer.status_code == 204
    assert answer.headers["allow"] == "GET, HEAD, PUT, DELETE, OPTIONS"
    assert "last-event-id" in answer.headers["access-control-allow-headers"]


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "caf\xe9"])
def test_idempotency_key_that_cannot_be_used(client: httpx.Client, key: str) -> None:
    headers = {"Idempotency-Key": key.encode("latin-1")}
    error(client.post("tasks/nightly/start", headers=headers), 400)


def test_accept_that_cannot_be_met(client: httpx.Client) -> None:
    answer = client.get("tasks/nightly/logs", headers={"Accept": "image/png"})
    assert "text/csv" in error(answer, 406)["hint"]


def test_task_is_made_read_changed_and_removed(client: httpx.Client) -> None:
    made = client.post("tasks", json={"task_id": "mine", **SPEC, "name": "My task"})
    assert made.status_code == 201
    assert made.headers["location"] == "/api/v1/tasks/mine"
    assert made.json()["name"] == "My task"
    assert made.json()["read_only"] is False
    assert made.json()["state"] == made.json()["progress"]["state"] == "idle"
    assert (
        error(client.post("tasks", json={"task_id": "mine", **SPEC}), 409)["code"] == "task_exists"
    )
    changed = client.put("tasks/mine", json={**SPEC, "tables": ["u", "v"]})
    assert changed.status_code == 200
    assert client.get("tasks/mine").json()["spec"]["tables"] == ["u", "v"]
    assert client.delete("tasks/mine").status_code == 204
    error(client.get("tasks/mine"), 404)
    error(client.delete("tasks/mine"), 404)
    error(client.put("tasks/mine", json=SPEC), 404)


def test_task_of_a_file_is_read_only(server: JupyterServer, client: httpx.Client) -> None:
    for answer in (client.put("tasks/nightly", json=SPEC), client.delete("tasks/nightly")):
        found = error(answer, 409)
        assert found["code"] == "task_read_only"
        assert str(server.folder / "syncmon.toml") in found["message"]
    error(client.post("tasks", json={"task_id": "nightly", **SPEC}), 409)


def test_commands_that_the_state_forbids(client: httpx.Client) -> None:
    for command in ("pause", "stop"):
        found = error(client.post(f"tasks/nightly/{command}"), 409)
        assert found["code"] == "wrong_state"
        assert "idle" in found["message"]
        error(client.post(f"tasks/nowhere/{command}"), 404)
    error(client.patch("tasks/nightly/throttle", json={"rows": 10}), 409)
    error(client.post("tasks/nowhere/start"), 404)


def test_connections_hold_no_secrets(client: httpx.Client) -> None:
    found = {c["name"]: c for c in client.get("connections").json()["connections"]}
    assert set(found) == {"source", "target", "server"}
    assert found["source"]["dialect"] == "sqlite"
    assert found["server"]["url"] == "postgresql://etl@127.0.0.1:1/warehouse"
    assert found["server"]["password"] == "env NO_SUCH_PASSWORD"


def test_connections_are_named_and_never_given(client: httpx.Client) -> None:
    for url in ("sqlite:////etc/passwd", "postgresql://etl@169.254.169.254/x"):
        for side in ("source", "target"):
            spec = {"task_id": "given", **SPEC, side: url}
            assert "no connection" in error(client.post("tasks", json=spec), 422)["message"]
    document = client.get("openapi.json").json()
    schemas = document["components"]["schemas"]
    for path, item in document["paths"].items():
        for method in item.keys() - {"parameters"}:
            body = item[method].get("requestBody")
            reached = fields(body, schemas) if body else set()
            assert not reached & {"url", "uri", "dsn", "password"}, f"{method} {path}"


def fields(schema: Any, schemas: dict[str, Any], seen: frozenset[str] = frozenset()) -> set[str]:
    """The names of all fields that a schema, or one that it refers to, has."""
    if isinstance(schema, list):
        return set().union(*(fields(part, schemas, seen) for part in schema))
    if not isinstance(schema, dict):
        return set()
    found = set(schema.get("properties", {}))
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    if name and name not in seen:
        found |= fields(schemas[name], schemas, seen | {name})
    return found.union(*(fields(part, schemas, seen) for part in schema.values()))


def test_connection_test_says_what_is_wrong(client: httpx.Client) -> None:
    answer = client.post("connections/server/test")
    assert answer.status_code == 200
    assert answer.json()["ok"] is False
    assert "NO_SUCH_PASSWORD" in answer.json()["message"]
    error(client.post("connections/nowhere/test"), 404)
    error(client.post("connections/..%2fx/test"), 404)


def test_plan_of_databases_that_are_there(server: JupyterServer, client: httpx.Client) -> None:
    import sqlite3

    path = Path(server.folder) / "source.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, x TEXT)")
    connection.close()
    plan = client.get("tasks/nightly/plan")
    assert plan.status_code == 200, plan.text
    (unit,) = plan.json()["units"]
    assert unit["unit_id"] == "t"
    assert [column["name"] for column in unit["columns"]] == ["id", "x"]


def test_connection_with_a_broken_address_hides_no_other(tmp_path: Path) -> None:
    with make_server(tmp_path) as server, server.client() as client:
        with (tmp_path / "syncmon.toml").open("a") as file:
            file.write('[connections.broken]\nurl = "postgresql://etl@host:port/x"\n')
        answer = client.get("connections")
        assert answer.status_code == 200, answer.text
        found = {each["name"]: each for each in answer.json()["connections"]}
        assert found["broken"]["url"] == ""
        assert found["source"]["dialect"] == "sqlite"
