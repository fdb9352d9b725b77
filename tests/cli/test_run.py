from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
from collections.abc import Callable

from syncmon_ext.model.state import State
from tests.cli.conftest import ROWS, SECONDS, Place, until
from tests.receiver import Receiver

Same = Callable[[str, str], bool]


def chunks_committed(place: Place, task: str) -> int:
    return sum(unit.chunks_committed for unit in place.progress(task).units)


def test_run_copies_and_tells_it_line_by_line(place: Place, same: Same) -> None:
    done = place.cli("run", "nightly")
    assert same("airlines", "airlines")
    assert same("planes", "planes")
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d  · started: 2 tables from flights to copy.*", lines[0])
    assert any(re.search(r"✓ planes: 20,000 rows copied", line) for line in lines)
    assert lines[-1].startswith("✓ Completed  nightly: 20,003 rows in 2 tables")
    assert "\x1b" not in done.stdout
    assert done.stderr == ""


def test_worker_finds_a_store_that_was_named_by_a_relative_path(place: Place, same: Same) -> None:
    done = place.cli("run", "nightly", SYNCMON_STORE="sqlite:///store.db")
    assert "taken over" not in done.stdout
    assert same("planes", "planes")
    assert place.progress("nightly").state is State.COMPLETED


def test_run_again_begins_a_new_run(place: Place, same: Same) -> None:
    place.cli("run", "nightly")
    first = place.progress("nightly").run_id
    place.cli("run", "nightly")
    assert place.progress("nightly").run_id != first
    assert same("planes", "planes")


def test_run_with_options_after_the_command(place: Place) -> None:
    other = place.folder / "other.db"
    place.cli("run", "nightly", "--store", f"sqlite:///{other}", "--config", "syncmon.toml")
    assert other.exists()
    assert place.progress("nightly").state is State.IDLE


def test_address_that_run_is_given_is_told_of_the_end(place: Place) -> None:
    with Receiver().serving() as receiver:
        place.cli("run", "nightly", "--on-finish", f"{receiver.url}/given")
        until(lambda: receiver.told, "the webhook is told")
    [(path, _, body)] = receiver.told
    assert path == "/given"
    assert body == {
        **body,
        "event": "run_finished",
        "task_id": "nightly",
        "run_id": place.progress("nightly").run_id,
        "state": "completed",
        "rows_committed": sum(ROWS.values()),
    }


def test_table_that_is_missing_fails_alone_and_is_named(place: Place, same: Same) -> None:
    config = place.folder / "syncmon.toml"
    config.write_text(config.read_text().replace('["airlines", "planes"]', '["gone", "planes"]'))
    done = place.cli("run", "nightly", code=1)
    assert "✕ Failed" in done.stdout
    assert re.search(r"^✕ gone: .*gone", done.stdout, re.MULTILINE)
    assert same("planes", "planes")


def test_lost_worker_is_replaced_while_run_watches(place: Place, same: Same) -> None:
    process = place.begin("run", "slow")
    place.wait_for("slow", State.RUNNING, rows=200)
    before = chunks_committed(place, "slow")
    place.worker("slow").kill()
    place.hurry("slow")
    output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, output
    assert before > 0
    assert "taken over" in output
    assert same("planes", "slow_planes")


def test_run_goes_on_from_the_checkpoints_of_a_killed_worker(place: Place, same: Same) -> None:
    place.cli("start", "slow")
    place.wait_for("slow", State.RUNNING, rows=400)
    run_id = place.progress("slow").run_id
    place.worker("slow").kill()
    place.hurry("slow")
    done = place.cli("run", "slow")
    assert place.progress("slow").run_id == run_id
    assert re.search(r"resumed, [\d,]+ rows were committed", done.stdout), done.stdout
    assert same("planes", "slow_planes")


def test_fresh_run_does_not_go_on(place: Place, same: Same) -> None:
    place.cli("start", "slow")
    place.wait_for("slow", State.RUNNING, rows=200)
    place.cli("pause", "slow")
    place.wait_for("slow", State.PAUSED)
    run_id = place.progress("slow").run_id
    place.hurry("slow")
    done = place.cli("run", "slow", "--fresh")
    assert place.progress("slow").run_id != run_id
    assert "resumed" not in done.stdout
    assert same("planes", "slow_planes")


def test_ctrl_c_pauses_and_run_goes_on(place: Place, same: Same) -> None:
    process = place.begin("run", "slow")
    place.wait_for("slow", State.RUNNING, rows=200)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert "Pausing…" in output
    last, hint = output.splitlines()[-2:]
    assert last.startswith("‖ Paused  slow: ")
    assert hint == "  go on with: jupyter syncmon run slow"
    assert place.progress("slow").state is State.PAUSED
    place.hurry("slow")
    place.cli("run", "slow")
    assert same("planes", "slow_planes")


def test_second_ctrl_c_leaves_at_once_and_says_that_the_copy_goes_on(place: Place) -> None:
    process = place.begin("run", "slow")
    place.wait_for("slow", State.RUNNING, rows=200)
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    for line in process.stdout:
        if "Pausing…" in line:
            break
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    # Whether the pause was in the store by then is a matter of time; what is said is true.
    if "until it has paused" in output:
        place.wait_for("slow", State.PAUSED)
    elif "‖ Paused" in output:
        assert place.progress("slow").state is State.PAUSED
    else:
        assert "the copy goes on without this command, and is not paused" in output
        place.hurry("slow")
        place.wait_for("slow", State.COMPLETED)


def test_run_of_a_running_task_joins_it(place: Place, same: Same) -> None:
    place.cli("start", "slow")
    place.wait_for("slow", State.RUNNING, rows=200)
    run_id = place.progress("slow").run_id
    process = place.begin("run", "slow")
    assert process.stdout is not None
    assert process.stdout.readline() == "slow is running already: watching it\n"
    place.hurry("slow")
    output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, output
    assert place.progress("slow").run_id == run_id
    assert same("planes", "slow_planes")


def test_fresh_run_of_a_running_task_is_refused(place: Place) -> None:
    place.cli("start", "slow")
    done = place.cli("run", "slow", "--fresh", code=1)
    assert done.stderr.startswith("✕ task 'slow' is running")
    place.cli("stop", "slow")


def shown(screen: bytes) -> str:
    """What a terminal was sent, without its escape sequences."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.decode(errors="replace"))


def test_terminal_shows_live_bars(place: Place) -> None:
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    process = subprocess.Popen(
        place.arguments("run", "slow"),
        cwd=place.folder,
        env={**place.environment, "TERM": "xterm-256color"},
        stdin=side,
        stdout=side,
        stderr=side,
    )
    os.close(side)
    wanted = [
        r"● Running  slow     flights → copy",
        r"█+░+\s+\d+ %\s+[\d,]+ of 20,000 rows",
        r"rows/s .*·  limited by throttle",
        r"1 table: 1 running",
    ]
    screen = b""
    try:
        while not all(re.search(one, shown(screen)) for one in wanted):
            screen += os.read(main, 65_536)
        place.hurry("slow")
        while piece := os.read(main, 65_536):
            screen += piece
    except OSError:  # the other side is closed: the command has ended
        pass
    os.close(main)
    assert process.wait(timeout=SECONDS) == 0
    text = shown(screen)
    for one in [*wanted, r"✓ Completed  slow: 20,000 rows in 1 table"]:
        assert re.search(one, text), f"{one} was never shown:\n{text}"
    assert screen.endswith(b"\r\n")
    assert b"\x1b[?25h" in screen  # the cursor is back


def test_run_survives_a_terminal_that_is_closed(place: Place, same: Same) -> None:
    process = place.begin("run", "slow")
    place.wait_for("slow", State.RUNNING, rows=200)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=SECONDS)
    place.hurry("slow")
    until(lambda: place.progress("slow").state is State.COMPLETED, "the worker goes on")
    assert same("planes", "slow_planes")
