"""Found by a measured worker: it notes where each chunk's time went and what CPU time its monitor takes, or
its monitor is made quiet."""

import gc
import os
import sys
import time
from collections.abc import Callable
from typing import Any

if "syncmon_ext.sync.worker" in sys.orig_argv:  # its helpers look here, too
    gc.disable()  # as the worker does while it imports the same
    from syncmon_ext.model.chunk import ChunkResult
    from syncmon_ext.sync import gauge, recorder

    gc.enable()

    if os.environ.get("SYNCMON_BENCH_QUIET"):  # figures and samples are taken and written no more
        gauge.REFRESH_SECONDS = 1e9  # type: ignore[misc]
        recorder.SAMPLE_SECONDS = 1e9  # type: ignore[misc]
        recorder.LISTEN_SECONDS = 1.0  # type: ignore[misc]

    if notes := os.environ.get("SYNCMON_BENCH_NOTES"):
        count = gauge.Gauge.count

        def noted(self: gauge.Gauge, result: ChunkResult) -> None:
            """Write the seconds of a chunk beside counting it."""
            count(self, result)
            seconds = (result.source_seconds, result.transfer_seconds, result.target_seconds)
            with open(notes, "a", encoding="ascii") as file:  # noqa: PTH123  # the least work
                file.write(" ".join(map(str, seconds)) + "\n")

        gauge.Gauge.count = noted  # type: ignore[method-assign]

    if monitor := os.environ.get("SYNCMON_BENCH_MONITOR"):

        def timed(owner: type, name: str) -> None:
            """Have a method write the CPU seconds that its thread spends in it."""
            method: Callable[..., Any] = getattr(owner, name)

            def call(*arguments: Any, **options: Any) -> Any:
                began = time.thread_time()
                try:
                    return method(*arguments, **options)
                finally:
                    spent = time.thread_time() - began
                    with open(monitor, "a", encoding="ascii") as file:  # noqa: PTH123  # the least work
                        file.write(f"{spent}\n")

            setattr(owner, name, call)

        timed(
            recorder.Recorder, "_beat"
        )  # the whole of its thread: what it writes and what it hears
        timed(recorder.Recorder, "write_now")
        timed(gauge.Gauge, "count")
        timed(gauge.Gauge, "refresh")
