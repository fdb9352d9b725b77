"""A PostgreSQL with ICU, which the wheel of the other tests lacks: Debian's binaries, a server of our own."""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy.engine import URL

INSTALLED: Final = Path("/usr/lib/postgresql")  # where Debian and Ubuntu put every version
USERS: Final = ("postgres", "nobody")  # whom root runs it as: PostgreSQL refuses root
SETTINGS: Final = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "shared_buffers": "16MB",
    "max_connections": "40",
    "autovacuum": "off",
}


def programs() -> Path | None:
    """The folder of the newest server's programs; None where there is none."""
    found = [path.parent for path in INSTALLED.glob("*/bin/initdb")]
    return max(found, key=lambda path: float(path.parent.name), default=None)


@cache
def icu_server() -> URL:
    """The URL of a server that lives as long as this process; skips the test where there is none."""
    home = programs()
    if home is None:
        reason = f"no PostgreSQL with ICU in {INSTALLED}: apt-get install postgresql"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="syncmon-icu-"))
    user = _user()
    if user is not None:
        shutil.chown(folder, user.pw_uid, user.pw_gid)

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [home / program, "-D", folder / "data", *arguments],
            cwd=folder,
            user=None if user is None else user.pw_uid,
            group=None if user is None else user.pw_gid,
            extra_groups=None if user is None else [],
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            check=True,
        )

    def end() -> None:
        run("pg_ctl", "stop", "--mode=immediate", "--silent")
        shutil.rmtree(folder, ignore_errors=True)

    run("initdb", "--username=tests", "--auth=trust", "--encoding=UTF8", "--no-sync")
    options = " ".join(f"-c {name}={value!r}" for name, value in SETTINGS.items())
    log = str(folder / "server.log")
    run("pg_ctl", "start", "--wait", f"--log={log}", f"--options=-k '{folder}' {options}")
    atexit.register(end)
    return URL.create(
        "postgresql", username="tests", database="postgres", query={"host": str(folder)}
    )


def _user() -> pwd.struct_passwd | None:
    """Whom the server runs as; None: whoever runs the tests."""
    if os.geteuid() != 0:
        return None
    known = {user.pw_name: user for user in pwd.getpwall()}
    return next(known[name] for name in USERS if name in known)
