"""The clock of the machine jumps an hour ahead and back, and nobody takes a living worker for dead.

By libfaketime, and only in the long form; `tests/sync/test_lease.py` has the same with a clock that is
told to the code.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from syncmon_ext.model.state import State
from syncmon_ext.model.task import Throttle
from tests.faults.harness import rig

LIBRARY = os.environ.get("LIBFAKETIME") or next(
    (str(path) for path in Path("/usr/lib").glob("**/faketime/libfaketimeMT.so.1")), ""
)
pytestmark = [
    pytest.mark.skipif(os.environ.get("SYNCMON_FAULTS") != "long", reason="make faults"),
    pytest.mark.timeout(300),
]
JUMPS = ("+3600", "-3600", "+0", "-3600", "+3600", "+0")  # seconds beside the true time
LEASE_SECONDS = 5.0
STAY_SECONDS = 3.0
OBSERVE = """
import sys, time
from contextlib import suppress
from syncmon_ext.model.errors import StoreUnavailable
from syncmon_ext.services.supervisor import Supervisor
from syncmon_ext.store.store import Store
supervisor = Supervisor(Store(sys.argv[1]), lease_seconds=float(sys.argv[2]))
print("ready", flush=True)
while True:
    with suppress(StoreUnavailable):
        supervisor.check()
    print(int(time.time()), flush=True)
    time.sleep(0.1)
"""


def test_clock_that_jumps_causes_no_takeover(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not LIBRARY:
        pytest.fail("no libfaketime here: apt-get install libfaketime, or set LIBFAKETIME")
    offset = tmp_path / "offset"

    def jump(seconds: str) -> None:
        (tmp_path / "next").write_text(seconds)
        (tmp_path / "next").rename(offset)  # the library never reads half of it

    jump("+0")
    fake = {
        "LD_PRELOAD": LIBRARY,
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    (tmp_path / "home").mkdir()
    with rig(tmp_path / "home", "sqlite-sqlite", flights=6_000, throttle={"rows": 150}) as it:
        with monkeypatch.context() as patched:
            for name, value in fake.items():
                patched.setenv(name, value)
            it.control.start("nightly")
        it.until(lambda: it.progress().rows_committed > 100)
        first = it.lease()
        assert first.owner is not None
        assert "libfaketime" in Path(f"/proc/{first.owner.pid}/maps").read_text()
        seen = tmp_path / "seen"
        with seen.open("w") as file:
            command = [sys.executable, "-c", OBSERVE, it.store.url.render_as_string()]
            observer = subprocess.Popen(
                [*command, str(LEASE_SECONDS)], env={**os.environ, **fake}, stdout=file
            )
        try:
            it.until(lambda: "ready" in seen.read_text())
            for seconds in JUMPS:
                jump(seconds)
                time.sleep(STAY_SECONDS)
                assert observer.poll() is None
                now = it.lease()
                assert (now.token, now.owner) == (first.token, first.owner), f"after {seconds}"
            time.sleep(LEASE_SECONDS)
        finally:
            observer.kill()
            observer.wait()
        hours = {round((int(line) - time.time()) / 3_600) for line in seen.read_text().split()[1:]}
        assert hours == {-1, 0, 1}, "the observer's clock did jump"
        it.control.set_throttle("nightly", Throttle())
        assert it.until_ended().state is State.COMPLETED
        assert it.lease().token == first.token
        it.assert_equal()
