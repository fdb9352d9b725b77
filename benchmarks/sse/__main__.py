"""The server under load: clients in another process, loopback only, beside its peers in one run.

    python -m benchmarks.sse [--clients N] [--many N] [--seconds S] [--entries N] [--only PART …]

Parts: fanout, load, many, tasks, rest, latency, export. Writes benchmarks/RESULTS-sse.md, with the targets.
sse-starlette and uvicorn come with the extra ``bench``; without them their rows are left out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.sse.export import export
from benchmarks.sse.fanout import fanout
from benchmarks.sse.latency import latency
from benchmarks.sse.load import load, many
from benchmarks.sse.rest import rest
from benchmarks.sse.table import write_results
from benchmarks.sse.tasks import tasks

RESULTS = Path(__file__).resolve().parents[1] / "RESULTS-sse.md"
PARTS = {
    "fanout": fanout,
    "load": load,
    "many": many,
    "tasks": tasks,
    "rest": rest,
    "latency": latency,
    "export": export,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=1_000)
    parser.add_argument("--many", type=int, default=5_000)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    for part in options.only:
        rows = PARTS[part](options)
        for row in rows:
            print(row.line(), flush=True)
        write_results(RESULTS, part, rows)


if __name__ == "__main__":
    main()
