"""The measurements: what runs beside what, and what is asked of the ratio."""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from benchmarks import peers, product
from benchmarks.places import Places
from benchmarks.usage import Cost, interleaved, measured

US: Final = "syncmon"
COLD: Final = "syncmon, without a worker ready"
SMALL_TABLES: Final = 1_000
SMALL_ROWS: Final = 100


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One program on one route; the medians of its runs."""

    route: str
    program: str
    rows: int
    wall: float
    cpu: float
    server_cpu: float
    peak_mib: float
    ratio: float | None = None  # median of the rounds' own ratios of wall time, peer : syncmon
    likely: tuple[float, float] | None = None  # where 95 of 100 such medians lie
    cpu_ratio: float | None = None  # the same of all CPU seconds, servers included
    cpu_likely: tuple[float, float] | None = None
    target: float | None = None  # of ``ratio``, at least
    note: str = ""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """A pair of databases, its baselines, and the ratio that is promised against the fastest."""

    name: str
    source: str
    target: str
    baselines: list[str]
    at_least: float | None
    chunk_rows: int | None = None  # for syncmon; its own choice where there is none
    with_cold: bool = False  # started without a worker that is ready, too


ROUTES: Final = (
    Route(
        name="PostgreSQL → PostgreSQL",
        source="postgresql",
        target="postgresql",
        baselines=["psql_pipe"],
        at_least=1.0,
        with_cold=True,
    ),
    Route(
        name="SQLite → SQLite",
        source="sqlite",
        target="sqlite",
        baselines=["attach", "attach_in_order"],
        at_least=0.9,
        with_cold=True,
    ),
    # What larger tables are copied with: an upper bound of one's own keeps it from moving all at once.
    Route(
        name="SQLite → SQLite, in ranges",
        source="sqlite",
        target="sqlite",
        baselines=["attach"],
        at_least=None,
        chunk_rows=5_000_000,
    ),
    Route(
        name="SQLite → PostgreSQL",
        source="sqlite",
        target="postgresql",
        baselines=["adbc_sqlite_postgresql", "duckdb_sqlite_postgresql"],
        at_least=1.0,
    ),
    Route(
        name="PostgreSQL → SQLite",
        source="postgresql",
        target="sqlite",
        baselines=["adbc_postgresql_sqlite", "duckdb_postgresql_sqlite"],
        at_least=1.0,
    ),
)


def of_route(places: Places, route: Route, rounds: int) -> list[Row]:
    """syncmon and the route's baselines on lineitem."""
    print(route.name, flush=True)
    ways: dict[str, Callable[[], Cost]] = {US: lambda: _product(places, route)}
    if route.with_cold:
        ways[COLD] = lambda: _product(places, route, cold=True)
    absent = []
    for name in route.baselines:
        why = peers.missing(name)
        if why is None:
            ways[name] = lambda name=name: _peer(places, name, route)  # type: ignore[misc]
        else:
            print(f"  {name}: {why}", flush=True)
            absent.append(_absent(route.name, name, why))
    costs = interleaved(rounds, ways)
    rows = places.sqlite_rows if route.source == route.target == "sqlite" else places.rows
    return compared(route.name, rows, costs, route.at_least) + absent


def of_small_tables(places: Places, rounds: int) -> list[Row]:
    """A thousand tables of a hundred rows, beside a bare loop of COPYs."""
    print("many small tables", flush=True)
    tables = [f"t{number}" for number in range(SMALL_TABLES)]
    source = places.source.database("small")
    places.source.run(
        *(
            f"CREATE TABLE {table} AS SELECT i::bigint AS id, 'row ' || i AS v "
            f"FROM generate_series(1, {SMALL_ROWS}) AS i; ALTER TABLE {table} ADD PRIMARY KEY (id)"
            for table in tables
        ),
        "ANALYZE",
        url=source,
    )

    def ours() -> Cost:
        places.clear()
        return product.run(source, places.target.database("small"), tables, places.server_pids)

    def loop() -> Cost:
        places.clear()
        return _program(places, "copy_loop", source, places.target.database("small"))

    costs = interleaved(rounds, {US: ours, "copy_loop": loop})
    name = f"{SMALL_TABLES:,} tables × {SMALL_ROWS} rows"
    return compared(name, SMALL_TABLES * SMALL_ROWS, costs, 1 / 1.5)


def _product(places: Places, route: Route, *, cold: bool = False) -> Cost:
    places.clear()
    options: dict[str, Any] = {} if route.chunk_rows is None else {"chunk_rows": route.chunk_rows}
    return product.run(
        _source(places, route),
        _target(places, route),
        ["lineitem"],
        places.server_pids,
        cold=cold,
        **options,
    )


def _source(places: Places, route: Route) -> str:
    if route.source == "postgresql":
        return places.source.url
    alone = route.target == "sqlite"
    return f"sqlite:///{places.sqlite_alone if alone else places.sqlite_source}"


def _target(places: Places, route: Route) -> str:
    if route.target == "postgresql":
        return places.target.url
    return f"sqlite:///{places.sqlite_target}"


def _peer(places: Places, name: str, route: Route) -> Cost:
    places.clear()
    if name == "psql_pipe":
        script = peers.psql_pipe(places.psql, places.source.url, places.target.url)
        with measured(places.server_pids) as cost:
            subprocess.run(["/bin/sh", "-c", script], check=True)
        return cost
    ends = [_source(places, route), _target(places, route)]
    return _program(places, name, *(end.removeprefix("sqlite:///") for end in ends))


def _program(places: Places, name: str, source: str, target: str) -> Cost:
    with measured(places.server_pids) as cost:
        subprocess.run([sys.executable, "-m", "benchmarks.peers", name, source, target], check=True)
    return cost


def likely_median(values: Sequence[float], draws: int = 2_000) -> tuple[float, float]:
    """Between what 95 of 100 medians of such values lie (the bootstrap's percentiles)."""
    chance = random.Random(len(values))
    medians = sorted(statistics.median(chance.choices(values, k=len(values))) for _ in range(draws))
    return medians[draws // 40], medians[-1 - draws // 40]


def compared(
    route: str, rows: int, costs: dict[str, list[Cost]], at_least: float | None
) -> list[Row]:
    """The medians of each program, and its ratio to syncmon in the same round."""
    ours = costs[US]
    found = []
    for name, runs in costs.items():
        against = {}
        if name != US:
            pairs = list(zip(runs, ours, strict=True))
            walls = [peer.wall / own.wall for peer, own in pairs]
            cpus = [
                (peer.cpu + peer.server_cpu) / (own.cpu + own.server_cpu) for peer, own in pairs
            ]
            against = {
                "ratio": statistics.median(walls),
                "likely": likely_median(walls),
                "cpu_ratio": statistics.median(cpus),
                "cpu_likely": likely_median(cpus),
                "target": at_least if name not in (COLD, "attach_in_order") else None,
            }
        found.append(
            Row(
                route=route,
                program=name,
                rows=rows,
                wall=statistics.median(run.wall for run in runs),
                cpu=statistics.median(run.cpu for run in runs),
                server_cpu=statistics.median(run.server_cpu for run in runs),
                peak_mib=max(run.peak_mib for run in runs),
                note=next((run.note for run in runs if run.note), ""),
                **against,
            )
        )
    return found


def _absent(route: str, program: str, why: str) -> Row:
    return Row(
        route=route, program=program, rows=0, wall=0, cpu=0, server_cpu=0, peak_mib=0, note=why
    )
