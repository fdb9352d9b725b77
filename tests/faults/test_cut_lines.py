"""Lines to PostgreSQL that are cut: before the answer to a COMMIT arrives, and in the middle of a read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from syncmon_ext.model.state import State
from tests.faults.harness import ROWS, Rig, Side, rig
from tests.faults.proxy import Cut, CuttingProxy, cutting_proxy

LONG = os.environ.get("SYNCMON_FAULTS") == "long"
SOURCES = ("sqlite", "postgresql")
FENCES = b"INSERT INTO _syncmon.fences"
UNITS = b"INSERT INTO _syncmon.units"
CHUNK = b"UPDATE _syncmon.checkpoints SET"
BATCH = b"rows, bytes) SELECT"
SWAP = b"UPDATE _syncmon.units SET swapped"
WATERMARK = b"INSERT INTO _syncmon.watermarks"
FORGET = b"DELETE FROM _syncmon.checkpoints"
# What is committed; the task's options; whether the tables are there before.
COMMITS: dict[str, tuple[Cut, dict[str, Any], bool]] = {
    "claim": (Cut(FENCES), {"mode": "replace"}, True),
    "prepare": (Cut(UNITS, times=2), {"mode": "append"}, False),
    "first-chunk": (Cut(CHUNK), {"mode": "replace"}, False),
    "later-chunks": (Cut(CHUNK, after=4, times=3), {"mode": "replace"}, False),
    "direct-chunks": (Cut(CHUNK, after=2, times=2), {"mode": "append", "direct": True}, False),
    "batch": (Cut(BATCH), {"mode": "replace"}, False),
    "batch-rename": (Cut(BATCH), {"mode": "replace"}, True),
    "swap": (Cut(SWAP), {"mode": "replace"}, False),
    "swap-rename": (Cut(SWAP), {"mode": "replace"}, True),
    "append": (Cut(SWAP), {"mode": "append"}, False),
    "merge": (Cut(SWAP, times=3), {"mode": "merge"}, True),
    "incremental": (Cut(WATERMARK, times=2), {"mode": "incremental"}, True),
    "forget": (Cut(FORGET), {"mode": "replace"}, False),
}
SHORT = ("later-chunks", "batch-rename", "swap", "incremental")


@contextmanager
def cut_rig(
    folder: Path, route: str, connection: str, cut: Cut, **options: Any
) -> Iterator[tuple[Rig, CuttingProxy]]:
    """A rig whose line to the source, or to the target, is cut."""
    with rig(folder, route, **options) as it:
        side: Side = getattr(it, connection)
        with cutting_proxy(side.url, cut) as (proxy, url):
            toml = it.folder / "syncmon.toml"
            name = {"source": "flights", "target": "warehouse"}[connection]
            begins = f'[connections.{name}]\nurl = "'
            text = toml.read_text().replace(f"{begins}{side.url}", f"{begins}{url}")
            toml.write_text(text)
            yield it, proxy


def is_told(it: Rig) -> bool:
    return any("failed: " in message for message in it.messages())


@pytest.mark.parametrize("source", SOURCES if LONG else SOURCES[1:])
@pytest.mark.parametrize("what", COMMITS if LONG else SHORT)
def test_lost_answer_to_a_commit_is_found_committed(what: str, source: str, tmp_path: Path) -> None:
    cut, options, old = COMMITS[what]
    with cut_rig(tmp_path, f"{source}-postgresql", "target", cut, **options) as (it, proxy):
        it.audit()
        if old:
            it.make_old_target()
        it.control.start("nightly")
        progress = it.until_ended()
        assert progress.state is State.COMPLETED, it.messages()
        assert proxy.cuts == cut.times
        assert is_told(it)
        assert progress.rows_committed == progress.rows_total == ROWS
        it.assert_equal()
        it.assert_each_chunk_copied_once()
        if what == "incremental":
            it.source.execute("INSERT INTO flights VALUES (90000, 'C1', 1.5, 'later')")
            it.control.start("nightly")
            assert it.until_ended().state is State.COMPLETED, it.messages()
            it.assert_equal()


@pytest.mark.parametrize("consistency", ["snapshot", "chunk"] if LONG else ["snapshot"])
@pytest.mark.parametrize("target", SOURCES)
def test_source_whose_line_is_cut_within_a_chunk_is_read_again(
    target: str, consistency: str, tmp_path: Path
) -> None:
    cut = Cut(b"COPY ", answered=20_000, after=1, times=3)
    options = {"flights": 6_000, "chunk_rows": 1_000, "consistency": consistency}
    with cut_rig(tmp_path, f"postgresql-{target}", "source", cut, **options) as (it, proxy):
        it.audit()
        it.control.start("nightly")
        assert it.until_ended().state is State.COMPLETED, it.messages()
        assert proxy.cuts == cut.times
        assert is_told(it)
        # The holder of the snapshot has a line of its own, which was not cut.
        assert not any("begun again" in message for message in it.messages())
        it.assert_equal()
        it.assert_each_chunk_copied_once()
