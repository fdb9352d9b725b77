"""Verification by content: nothing false is called true, and only what is bad is copied again."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from syncmon_ext.model.chunk import Chunk
from syncmon_ext.sync import chunk_copy, jobs
from syncmon_ext.sync.quoting import ident
from syncmon_ext.sync.routes.registry import ROUTES
from tests.contract.items import ROWS, content, make_table
from tests.contract.pairs import Pair
from tests.sync.copying import Copy


def staged(copy: Copy, target: Any) -> str:
    return ident(target.staging()[0])


@pytest.mark.parametrize("mode", ["replace", "append", "merge"])
def test_changed_row_is_found_and_its_chunk_alone_is_copied_again(pair: Pair, mode: str) -> None:
    source, target = pair
    make_table(source)
    make_table(target, rows=[])
    copy = Copy(source, target, tables=["items"], mode=mode, verify="hash")
    with copy.claimed():
        unit = copy.units[0]
        results = copy.copy_all(unit, 10)
        key = ROWS[34][0]
        target.run(f"UPDATE {staged(copy, target)} SET amount = amount + 1e-9 WHERE id = {key}")
        bad = jobs.index(copy.target, copy.own, unit)
        assert [(c.low, c.high) for c in bad] == [([ROWS[29][0]], [ROWS[39][0]])]
        assert copy.prepare(unit).chunks_committed == len(results) - 1
        assert not copy.copy(unit, Chunk(low=bad[0].low, high=bad[0].high)).replayed
        copy.swap(unit)
    assert content(target) == sorted(ROWS)
    assert [name for name in target.tables() if "verify" in name] == []


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM {t} WHERE id = 3",
        "UPDATE {t} SET note = '' WHERE note IS NULL",
        "UPDATE {t} SET id = id + 1 WHERE id = 3",
        "INSERT INTO {t} (id, name) VALUES (4, 'added')",
    ],
)
def test_damage_is_found(pair: Pair, damage: str) -> None:
    source, target = pair
    make_table(source)
    copy = Copy(source, target, tables=["items"], verify="hash")
    with copy.claimed():
        copy.copy_all(copy.units[0], 30)
        target.run(damage.format(t=staged(copy, target)))
        assert jobs.index(copy.target, copy.own, copy.units[0])


def test_table_whose_order_may_differ_is_compared_as_a_whole(pair: Pair) -> None:
    source, target = pair
    source.run("CREATE TABLE words (w TEXT NOT NULL PRIMARY KEY, n TEXT)")
    rows = [
        (word, f"{number}") for number, word in enumerate(["a", "B", "c", "é", "Z", "_x", "ab"])
    ]
    source.insert("words", rows)
    copy = Copy(source, target, tables=["words"], verify="hash")
    with copy.claimed():
        unit = copy.units[0]
        chunks = [result.chunk for result in copy.copy_all(unit, 3)]
        target.run(f"UPDATE {staged(copy, target)} SET n = 'x' WHERE w = 'ab'")
        bad = jobs.index(copy.target, copy.own, unit)
        by_range = source.dialect == target.dialect == "sqlite"
        assert len(bad) == (1 if by_range else len(chunks))
        for chunk in bad:
            copy.copy(unit, chunk)
        copy.swap(unit)
    assert sorted(target.query("SELECT w, n FROM words")) == sorted(rows)


def test_source_that_changes_after_a_chunk_was_read_raises_no_alarm(pair: Pair) -> None:
    source, target = pair
    make_table(source)
    copy = Copy(source, target, tables=["items"], verify="hash")
    with copy.claimed():
        copy.copy_all(copy.units[0], 30)
        source.run("UPDATE items SET name = 'later'")
        copy.swap(copy.units[0])
    assert content(target) == sorted(ROWS)


def test_route_that_changes_values_never_passes(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = pair
    make_table(source)
    copy = Copy(source, target, tables=["items"], verify="hash")
    route = copy.units[0].route
    opened = ROUTES[route]

    @contextmanager
    def damaging(*arguments: Any) -> Any:
        session = arguments[1]
        with opened(*arguments) as way:

            def damage(unit: Any, chunk: Any, table: str) -> Any:
                landed = way.copy(unit, chunk, table)
                place = ident(table) if session.dialect == "sqlite" else f'"public".{ident(table)}'
                session.change(f"UPDATE {place} SET name = 'damaged' WHERE id = {ROWS[7][0]}")
                return landed

            yield msgspec.structs.replace(way, copy=damage)

    monkeypatch.setattr(chunk_copy, "ROUTES", {route: damaging})
    with copy.claimed():
        unit = copy.units[0]
        copy.copy_all(unit, 30)
        for _ in range(2):
            bad = jobs.index(copy.target, copy.own, unit)
            assert [c.low for c in bad] == [None]
            copy.copy(unit, bad[0])


@pytest.mark.parametrize("key", ["BIGINT NOT NULL PRIMARY KEY", "BIGINT NOT NULL UNIQUE"])
def test_range_is_compared_by_a_key_that_has_an_index_of_its_own(pair: Pair, key: str) -> None:
    source, target = pair
    source.run(f"CREATE TABLE numbers (n {key}, v TEXT)")
    source.insert("numbers", [(n, f"v{n}") for n in range(40)])
    copy = Copy(source, target, tables=["numbers"])
    with copy.claimed():
        unit = copy.units[0]
        copy.copy_all(unit, 10)
        target.run(f"UPDATE {staged(copy, target)} SET v = 'x' WHERE n = 15")
        bad = jobs.index(copy.target, copy.own, unit)
        assert [(c.low, c.high) for c in bad] == [([9], [19])]
        copy.copy(unit, bad[0])
        copy.swap(unit)
    assert sorted(target.query("SELECT n, v FROM numbers")) == [(n, f"v{n}") for n in range(40)]
