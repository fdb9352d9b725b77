"""What the fork server of a worker's children imports, once for all of them; nobody else does.

It ignores SIGTERM, which a service manager sends to the whole process group: the scheduler drains, and
ends its children and this server with itself.
"""

from __future__ import annotations

import signal

import syncmon_ext.sync.attempts
import syncmon_ext.sync.jobs
import syncmon_ext.sync.snapshot  # noqa: F401  # imported for the children that are forked from here

signal.signal(signal.SIGTERM, signal.SIG_IGN)
