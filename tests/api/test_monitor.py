from __future__ import annotations

import csv
import io
import json

import httpx
import msgspec
import pyarrow as pa
import pytest

from syncmon_ext.model.log import Level
from syncmon_ext.model.state import State
from tests.api.conftest import RunOf
from tests.simulated import SimulatedRun

CSV = {"Accept": "text/csv"}
ARROW = {"Accept": "application/vnd.apache.arrow.stream"}
NDJSON = {"Accept": "application/x-ndjson"}


def logs(client: httpx.Client, run: SimulatedRun, **query: str | int) -> list[int]:
    answer = client.get(f"tasks/{run.task_id}/logs", params=query)
    assert answer.status_code == 200, answer.text
    return [entry["seq"] for entry in answer.json()["logs"]]


def test_newest_entries_come_oldest_first(client: httpx.Client, run_of: RunOf) -> None:
    run = run_of()
    run.write(*(f"line {n}" for n in range(1, 101)))
    assert logs(client, run) == list(range(51, 101))
    assert logs(client, run, limit=3) == [98, 99, 100]
    assert logs(client, run, limit=3, after=10) == [11, 12, 13]
    assert logs(client, run, limit=3, before=10) == [7, 8, 9]
    assert logs(client, run, limit=9, after=5, before=8) == [6, 7]
    assert logs(client, run, after=2**63 - 1) == []


def test_entries_are_found_by_level_unit_and_text(client: httpx.Client, run_of: RunOf) -> None:
    run = run_of("a", "b")
    run.write("Copied 100 %", level=Level.SUCCESS, unit="a")
    run.write("copied_100", level=Level.ERROR, unit="b")
    run.write("else", level=Level.ERROR)
    assert logs(client, run, level="error") == [2, 3]
    assert logs(client, run, unit="a") == [1]
    assert logs(client, run, q="COPIED") == [1, 2]
    assert logs(client, run, q="100 %") == [1]
    assert logs(client, run, q="_") == [2]
    assert logs(client, run, level="error", q="copied", unit="b") == [2]


def test_log_as_csv_is_whole_and_holds_no_formulas(client: httpx.Client, run_of: RunOf) -> None:
    run = run_of()
    texts = ["=1+1", "+1", "-1", "@x", 'say "hi", then', "ünï ✓", "plain"]
    run.write(*texts, *("x" for _ in range(12_000)), unit="=t")
    answer = client.get(f"tasks/{run.task_id}/logs", headers=CSV)
    assert answer.headers["content-type"].startswith("text/csv")
    assert f'filename="{run.task_id}-log.csv"' in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert [int(row["seq"]) for row in rows] == list(range(1, 12_008))
    escaped = ["'=1+1", "'+1", "'-1", "'@x", *texts[4:]]
    assert [row["message"] for row in rows[:7]] == escaped
    assert rows[0]["unit"] == "'=t"
    assert rows[0]["time"].endswith("Z")
    assert rows[0]["level"] == "info"


def test_log_as_arrow_and_ndjson_say_the_same(client: httpx.Client, run_of: RunOf) -> None:
    run = run_of()
    run.write(*(f"=line {n}" for n in range(11_000)))
    path = f"tasks/{run.task_id}/logs"
    lines = [json.loads(line) for line in client.get(path, headers=NDJSON).content.splitlines()]
    table = pa.ipc.open_stream(client.get(path, headers=ARROW).content).read_all()
    assert len(lines) == table.num_rows == 11_000
    assert lines[7]["message"] == table["message"][7].as_py() == "=line 7", "values are as they are"
    assert str(table.schema.field("time").type) == "timestamp[us, tz=UTC]"
    assert str(table.schema.field("seq").type) == "int64"
    newest = client.get(path, params={"limit": 1000}).json()["logs"]
    assert newest == lines[-1000:]


@pytest.mark.parametrize("accept", [CSV, ARROW, NDJSON], ids=["csv", "arrow", "ndjson"])
@pytest.mark.parametrize("what", ["logs", "history"])
def test_empty_export_has_its_columns(
    client: httpx.Client, accept: dict[str, str], what: str
) -> None:
    answer = client.get(f"tasks/nightly/{what}", headers=accept)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(accept["Accept"])
    if accept is CSV:
        (header,) = answer.text.splitlines()
        assert header.startswith("seq,task_id,run_id,time" if what == "logs" else "task_id,run_id,")
    if accept is ARROW:
        assert pa.ipc.open_stream(answer.content).read_all().num_rows == 0
    head = client.head(f"tasks/nightly/{what}", headers=accept)
    assert head.headers["content-disposition"] == answer.headers["content-disposition"]
    assert client.get(f"tasks/nightly/{what}?limit=5", headers=accept).status_code == 400
    assert client.get(f"tasks/nowhere/{what}", headers=accept).status_code == 404


def test_accept_prefers_by_weight(client: httpx.Client) -> None:
    for accept, expected in {
        "text/csv;q=0.5, application/json": "application/json",
        "application/json;q=0.5, text/csv": "text/csv",
        "text/html, */*;q=0.1": "application/json",
        "text/csv;q=0, */*": "application/json",
    }.items():
        answer = client.get("tasks/nightly/logs", headers={"Accept": accept})
        assert answer.headers["content-type"].startswith(expected), accept


def test_history_is_of_one_run_or_of_all(client: httpx.Client, run_of: RunOf) -> None:
    first = run_of()
    first.commit("t", 10)
    first.sample()
    first.commit("t", 20)
    first.sample()
    first.become(State.COMPLETED)
    second = run_of(task_id=first.task_id)
    second.commit("t", 30)
    second.sample()
    path = f"tasks/{first.task_id}/history"
    rows = [s["rows_committed"] for s in client.get(path).json()["samples"]]
    assert rows == [10, 20, 30]
    of_first = client.get(path, params={"run": first.run_id}).json()["samples"]
    assert [s["rows_committed"] for s in of_first] == [10, 20]
    assert client.get(path, params={"limit": 2}).json()["samples"][0]["rows_committed"] == 20
    whole = pa.ipc.open_stream(client.get(path, headers=ARROW).content).read_all()
    assert whole["rows_committed"].to_pylist() == [10, 20, 30]
    missing = client.get(path, params={"run": "nothing"})
    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "run_not_found"


def test_runs_come_newest_first(client: httpx.Client, run_of: RunOf) -> None:
    first = run_of()
    first.become(State.FAILED)
    second = run_of(task_id=first.task_id)
    found = client.get(f"tasks/{first.task_id}/runs").json()["runs"]
    assert [run["run_id"] for run in found] == [second.run_id, first.run_id]
    assert [run["state"] for run in found] == ["running", "failed"]
    assert len(client.get(f"tasks/{first.task_id}/runs?limit=1").json()["runs"]) == 1


def test_list_has_state_and_progress_without_units(client: httpx.Client, run_of: RunOf) -> None:
    run = run_of("a", "b")
    run.commit("a", 40)
    found = {task["task_id"]: task for task in client.get("tasks").json()["tasks"]}
    view = found[run.task_id]
    assert view["state"] == "running"
    assert view["progress"]["rows_committed"] == 40
    assert view["progress"]["units"] == []
    assert view["progress"]["units_partial"] is True
    nightly = found["nightly"]
    assert nightly["state"] == "idle"
    assert nightly["read_only"] is True
    assert nightly["spec"]["tables"] == ["t"]
    whole = client.get(f"tasks/{run.task_id}").json()
    assert [unit["unit_id"] for unit in whole["progress"]["units"]] == ["a", "b"]
    assert whole["progress"] == client.get(f"tasks/{run.task_id}/progress").json()


def test_progress_of_a_task_that_never_ran_shows_its_tables(client: httpx.Client) -> None:
    progress = client.get("tasks/nightly/progress").json()
    assert progress["state"] == "idle"
    assert progress["run_id"] is None
    assert [unit["state"] for unit in progress["units"]] == ["pending"]


def test_get_changes_nothing(client: httpx.Client, run_of: RunOf) -> None:
    run = run_of()
    run.write("one")
    before = client.get(f"tasks/{run.task_id}/progress").content
    for path in ("", "/progress", "/logs", "/runs", "/history"):
        client.get(f"tasks/{run.task_id}{path}")
    assert client.get(f"tasks/{run.task_id}/progress").content == before
    assert msgspec.json.decode(before)["updated_at"]
