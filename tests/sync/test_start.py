"""What a worker's start must not wait for."""

from __future__ import annotations

import subprocess
import sys


def test_worker_imports_nothing_that_its_task_may_not_need() -> None:
    program = (
        "import sys; from syncmon_ext.sync import taking_up; "
        "late = {'psycopg', 'sqlalchemy.dialects.postgresql', 'stamina', 'tornado', 'httpx', 'alembic'}; "
        "print(sorted(late & sys.modules.keys())); "
        "from syncmon_ext.sync.databases import postgresql; postgresql.load(); "
        "print(sorted(late & sys.modules.keys()))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert answer.stdout.splitlines() == ["[]", "['psycopg', 'sqlalchemy.dialects.postgresql']"]
