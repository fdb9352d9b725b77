from __future__ import annotations

import csv
import io
import json
import re
import signal
import sqlite3
from contextlib import closing

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from syncmon_ext.model.progress import Progress
from syncmon_ext.model.state import State
from tests.cli.conftest import SECONDS, Place


def test_start_returns_at_once_and_the_copy_goes_on(place: Place) -> None:
    done = place.cli("start", "slow")
    assert re.match(
        r"slow: ● Running  .*\n  watch it with: jupyter syncmon status slow --watch", done.stdout
    )
    place.wait_for("slow", State.RUNNING, rows=200)
    again = place.cli("start", "slow", code=1)
    assert again.stderr.startswith(
        "✕ task 'slow' is running: it cannot start now\n  it can: pause, stop"
    )
    assert place.cli("pause", "slow").stdout.startswith("slow: ◐ Pausing…")
    place.wait_for("slow", State.PAUSED)
    stopped = place.cli("stop", "slow").stdout
    assert stopped.startswith("slow: ◐ Stopping…")
    place.wait_for("slow", State.STOPPED)
    with closing(sqlite3.connect(place.folder / "copy.db")) as copy:
        tables = {name for (name,) in copy.execute("SELECT name FROM sqlite_master")}
    assert "slow_planes" not in tables


@pytest.mark.parametrize("command", ["pause", "stop"])
def test_command_that_the_state_forbids_is_refused_with_what_it_can(
    place: Place, command: str
) -> None:
    done = place.cli(command, "nightly", code=1)
    assert done.stderr == f"✕ task 'nightly' is idle: it cannot {command} now\n  it can: start\n"
    assert done.stdout == ""


@pytest.mark.parametrize(
    "words",
    [
        *[(name,) for name in ("run", "start", "pause", "stop", "status", "logs", "plan")],
        ("export", "--what", "logs", "-o", "x"),
    ],
)
def test_unknown_task_is_named_with_the_nearest(place: Place, words: tuple[str, ...]) -> None:
    done = place.cli(words[0], "nigthly", *words[1:], code=1)
    assert done.stderr == "✕ there is no task 'nigthly'\n  did you mean nightly?\n"


@pytest.mark.parametrize(
    "words",
    [
        ("fly",),
        ("run",),
        ("run", "nightly", "--quick"),
        ("logs", "nightly", "--level", "loud"),
        ("logs", "nightly", "-n", "-1"),
        ("export", "nightly", "--what", "logs"),
        ("doctor", "--yes"),
        ("--port", "1", "status"),
        ("demo", "--slow", "0"),
    ],
)
def test_wrong_usage_exits_with_2(place: Place, words: tuple[str, ...]) -> None:
    done = place.cli(*words, code=2)
    assert "Usage: jupyter syncmon" in done.stderr


def test_help_lists_the_commands_in_order(place: Place) -> None:
    text = place.cli("--help").stdout
    names = ["run", "start", "pause", "stop", "status", "logs", "plan", "export", "demo", "doctor"]
    assert re.findall(r"^  ([a-z]+)  ", text, re.MULTILINE) == names


def test_status_lists_all_tasks_also_before_they_ran(place: Place) -> None:
    place.cli("run", "nightly")
    first, second = place.cli("status").stdout.splitlines()
    assert re.match(r"✓ Completed  nightly  100 %  20,003 of 20,003 rows", first)
    assert re.match(r"○ Idle       slow +not started", second)


def test_status_of_a_task_shows_its_tables(place: Place) -> None:
    place.cli("run", "nightly")
    text = place.cli("status", "nightly").stdout
    assert text.startswith("✓ Completed  nightly     flights → copy\n")
    assert re.search(r"✓  airlines +█{12}  100 % +3 rows", text)
    assert re.search(r"✓  planes +█{12}  100 % +20,000 rows", text)


def test_status_without_tasks_teaches_how_to_make_one(place: Place) -> None:
    (place.folder / "syncmon.toml").write_text("")
    text = place.cli("status").stdout
    assert "There are no tasks yet" in text
    example = text[text.index("[connections]") : text.index("  or make")]
    (place.folder / "syncmon.toml").write_text(example)
    assert "Idle  nightly" in place.cli("status").stdout


def test_status_with_a_broken_file_says_so_and_teaches_nothing(place: Place) -> None:
    (place.folder / "syncmon.toml").write_text("[tasks")
    done = place.cli("status", code=1)
    assert "not valid TOML" in done.stderr
    assert done.stdout == ""


def test_status_is_neither_wrapped_nor_cut_for_a_program_that_reads_it(place: Place) -> None:
    name, table = "n" * 60, "no_" + "such_" * 30 + "table"
    with (place.folder / "syncmon.toml").open("a") as file:
        file.write(f'[tasks.{name}]\nsource = "flights"\ntarget = "copy"\ntables = ["{table}"]\n')
    place.cli("run", name, code=1)
    lines = place.cli("status", COLUMNS="").stdout.splitlines()
    assert any(name in line and "Failed" in line for line in lines)
    assert any(table in line for line in lines)
    (entry,) = [line for line in place.cli("logs", name).stdout.splitlines() if "started" in line]
    assert entry.endswith("started: 1 table from flights to copy, mode replace")


def test_status_as_json_is_the_progress_object(place: Place) -> None:
    place.cli("run", "nightly")
    text = place.cli("status", "nightly", "--json").stdout
    assert msgspec.json.decode(text, type=Progress) == place.progress("nightly")
    lines = place.cli("status", "--json").stdout.splitlines()
    assert [json.loads(line)["task_id"] for line in lines] == ["nightly", "slow"]


def test_status_watch_as_json_follows_to_the_end(place: Place) -> None:
    place.cli("start", "slow")
    process = place.begin("status", "slow", "--watch", "--json")
    assert process.stdout is not None
    json.loads(process.stdout.readline())
    place.hurry("slow")
    output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, output
    found = [msgspec.json.decode(line, type=Progress) for line in output.splitlines()]
    assert found[-1].state is State.COMPLETED
    rows = [progress.rows_committed for progress in found]
    assert rows == sorted(rows)


def test_status_watch_of_all_tasks_goes_on_until_ctrl_c(place: Place) -> None:
    process = place.begin("status", "--watch")
    assert process.stdout is not None
    assert process.stdout.readline() == "nightly: ○ Idle  0 rows\n"
    place.cli("run", "nightly")
    for line in process.stdout:
        if line.startswith("nightly: ✓ Completed"):
            break
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    assert "Traceback" not in output


def test_logs_are_the_newest_oldest_first(place: Place) -> None:
    place.cli("run", "nightly")
    lines = place.cli("logs", "nightly").stdout.splitlines()
    assert "started: 2 tables" in lines[0]
    assert "completed: 20,003 rows in 2 tables" in lines[-1]
    assert place.cli("logs", "nightly", "-n", "2").stdout.splitlines() == lines[-2:]
    assert place.cli("logs", "nightly", "-n", "0").stdout == ""
    good = place.cli("logs", "nightly", "--level", "success").stdout.splitlines()
    assert good == [line for line in lines if "  ✓ " in line]
    assert place.cli("logs", "nightly", "--level", "error").stdout == ""


def test_logs_follow_what_is_logged(place: Place) -> None:
    process = place.begin("logs", "nightly", "-f", "--level", "success")
    place.cli("run", "nightly")
    assert process.stdout is not None
    found = [process.stdout.readline() for _ in range(3)]
    assert re.search(r"✓ completed: 20,003 rows", found[-1])
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=SECONDS)
    assert process.returncode == 130


def test_plan_shows_each_table_and_how_it_is_copied(place: Place) -> None:
    text = place.cli("plan", "nightly").stdout
    assert "nightly     flights → copy     mode replace" in text
    assert "guarantee: exactly-once" in text
    assert re.search(r"planes → planes\b.*\n  chunks by key \(id\)", text)
    assert re.search(r"    weight +REAL +→ REAL", text)


def test_plan_of_a_table_that_cannot_be_copied_exits_with_1(place: Place) -> None:
    config = place.folder / "syncmon.toml"
    config.write_text(config.read_text().replace('"airlines", "planes"', '"gone"'))
    done = place.cli("plan", "nightly", code=1)
    assert "✕" in done.stdout + done.stderr
    assert "gone" in done.stdout + done.stderr


@pytest.mark.parametrize("what", ["logs", "history"])
def test_export_is_the_same_in_every_format(place: Place, what: str) -> None:
    place.cli("run", "nightly")
    column = "seq" if what == "logs" else "rows_committed"
    for form in ("csv", "parquet", "arrow"):
        place.cli("export", "nightly", "--what", what, "--format", form, "-o", f"out.{form}")
    with (place.folder / "out.csv").open(newline="") as file:
        from_csv = [int(row[column]) for row in csv.DictReader(file)]
    parquet = pq.read_table(place.folder / "out.parquet")
    with pa.ipc.open_stream(place.folder / "out.arrow") as stream:
        arrow = stream.read_all()
    assert parquet.equals(arrow)
    assert from_csv == arrow[column].to_pylist()
    assert len(from_csv) > 0
    assert str(arrow.schema.field("time").type) == "timestamp[us, tz=UTC]"
    assert sorted(p.name for p in place.folder.glob("*out*")) == [
        "out.arrow",
        "out.csv",
        "out.parquet",
    ]


def test_export_of_nothing_has_its_columns(place: Place) -> None:
    place.cli("export", "nightly", "--what", "logs", "--format", "parquet", "-o", "empty.parquet")
    table = pq.read_table(place.folder / "empty.parquet")
    assert (table.num_rows, table.column_names[:2]) == (0, ["seq", "task_id"])


def test_export_writes_to_standard_output_but_no_parquet(place: Place) -> None:
    place.cli("run", "nightly")
    done = place.cli("export", "nightly", "--what", "logs", "-o", "-")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert rows[0]["seq"] == "1"
    place.cli("export", "nightly", "--what", "logs", "--format", "parquet", "-o", "-", code=1)


def test_export_that_cannot_be_written_leaves_the_old_file(place: Place) -> None:
    done = place.cli("export", "nightly", "--what", "logs", "-o", "no/such/folder.csv", code=1)
    assert "cannot be written" in done.stderr


def test_broken_file_is_told_and_tasks_that_ran_stay_known(place: Place) -> None:
    place.cli("run", "nightly")
    with (place.folder / "syncmon.toml").open("a") as file:
        file.write("\nworkers = = 2\n")
    done = place.cli("status")
    assert "syncmon.toml: not valid TOML" in done.stderr
    assert "Completed  nightly" in done.stdout
    place.cli("run", "nightly", code=1)


def test_password_in_the_file_is_refused_and_never_shown(place: Place) -> None:
    with (place.folder / "syncmon.toml").open("a") as file:
        file.write('\n[connections.w]\nurl = "postgresql://etl:hunter2@localhost/w"\n')
    done = place.cli("run", "nightly", code=1)
    assert "connections.w.url: holds a password" in done.stderr
    assert 'password = { env = "…" }' in done.stderr
    assert "hunter2" not in done.stderr + done.stdout


def test_store_that_cannot_be_used_is_told(place: Place) -> None:
    (place.folder / "store.db").write_text("no database" * 1_000)
    done = place.cli("status", code=1)
    assert done.stderr.startswith("✕ the store sqlite:///")
    assert "move it away" in done.stderr


def test_reader_that_has_seen_enough_is_no_error(place: Place) -> None:
    place.cli("run", "nightly")
    process = place.begin("logs", "nightly", "-f")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    place.cli("run", "nightly")  # what is logged now has no reader
    assert process.wait(timeout=SECONDS) == 1


def test_terminal_without_unicode_gets_question_marks(place: Place) -> None:
    done = place.cli("status", PYTHONIOENCODING="ascii")
    assert "Idle" in done.stdout
