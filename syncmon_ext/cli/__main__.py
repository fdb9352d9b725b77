"""``python -m syncmon_ext.cli``."""

from __future__ import annotations

from syncmon_ext.cli import main

if __name__ == "__main__":
    main()
