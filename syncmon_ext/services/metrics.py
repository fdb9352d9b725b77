"""syncmon's metrics on Jupyter's own ``/metrics``, collected without a look at the store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from syncmon_ext.model.state import State
from syncmon_ext.services.holds import Holds
from syncmon_ext.services.observer import Numbers


class Metrics:
    """A collector of prometheus_client. It runs on the event loop, so it reads what is known."""

    def __init__(
        self,
        numbers: Callable[[], Numbers],
        clients: Callable[[], int],
        holds: Callable[[], Holds | None],
    ) -> None:
        self._numbers = numbers
        self._clients = clients
        self._holds = holds

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        numbers = self._numbers()
        runs = GaugeMetricFamily("syncmon_runs", "Runs in the store, by state", labels=["state"])
        for state in State:
            if state is not State.IDLE:
                runs.add_metric([str(state)], numbers.runs.get(state, 0))
        yield runs
        yield CounterMetricFamily(
            "syncmon_rows_committed", "Rows committed while this server looked on", numbers.rows
        )
        yield CounterMetricFamily(
            "syncmon_bytes_committed", "Bytes committed while this server looked on", numbers.bytes
        )
        yield GaugeMetricFamily(
            "syncmon_lag_seconds",
            "Age of these numbers; it grows while the store cannot be read",
            time.monotonic() - numbers.seen_at,
        )
        yield GaugeMetricFamily(
            "syncmon_stream_clients", "Clients of event streams", self._clients()
        )
        holds = self._holds()
        if holds is None:
            return
        yield GaugeMetricFamily(
            "syncmon_loop_longest_hold_seconds",
            "Longest time in the last minute that the server's event loop served nobody else",
            holds.longest_seconds,
        )
        counts = CounterMetricFamily(
            "syncmon_loop_holds", "Times that this was over 50 ms, by what ran", labels=["cause"]
        )
        for cause, count in holds.counts.items():
            counts.add_metric([str(cause)], count)
        yield counts
