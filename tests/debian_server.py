"""A PostgreSQL with ICU and TLS, which the wheel of the other tests lacks: Debian's programs, a server of our
own."""

from __future__ import annotations

import atexit
import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final

import psycopg
import pytest
from sqlalchemy.engine import URL

from tests import certificate

GROUP: Final = "debian"  # of xdist: one process has the server
INSTALLED: Final = Path("/usr/lib/postgresql")  # where Debian and Ubuntu put every version
USERS: Final = ("postgres", "nobody")  # whom root runs it as: PostgreSQL refuses root
SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "ssl": "on",
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


_numbers = itertools.count(1)


@cache
def debian_server() -> URL:
    """The URL of a server that lives as long as this process; skips the test where there is none.

    ``sslmode`` in the URL says whether a connection is encrypted.
    """
    home = programs()
    if home is None:
        reason = f"no PostgreSQL with ICU and TLS in {INSTALLED}: apt-get install postgresql"
        if os.environ.get("SYNCMON_CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="syncmon-debian-"))
    key, user = certificate.written(folder), _user()
    if user is not None:
        for path in (folder, key):
            shutil.chown(path, user.pw_uid, user.pw_gid)

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
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = SETTINGS | {"port": port, "ssl_cert_file": key, "ssl_key_file": key}
    options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
    log = str(folder / "server.log")
    run("pg_ctl", "start", "--wait", f"--log={log}", f"--options=-k '{folder}' {options}")
    atexit.register(end)
    return URL.create(
        "postgresql",
        username="tests",
        host="127.0.0.1",
        port=port,
        database="postgres",
    )


@contextmanager
def debian_database(sslmode: str = "disable") -> Iterator[str]:
    """The URL of a new, empty database, which goes at the end."""
    server, name = debian_server(), f"t{next(_numbers)}"
    admin = server.render_as_string(hide_password=False)

    def run(statement: str) -> None:
        with psycopg.connect(admin, autocommit=True) as pg:
            pg.execute(statement.encode())

    run(f"CREATE DATABASE {name}")
    try:
        url = server.set(database=name).update_query_dict({"sslmode": sslmode})
        yield url.render_as_string(hide_password=False)
    finally:
        run(f"DROP DATABASE {name} WITH (FORCE)")


def _user() -> pwd.struct_passwd | None:
    """Whom the server runs as; None: whoever runs the tests."""
    if os.geteuid() != 0:
        return None
    known = {user.pw_name: user for user in pwd.getpwall()}
    return next(known[name] for name in USERS if name in known)
