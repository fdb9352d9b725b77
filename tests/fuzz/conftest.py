from __future__ import annotations

from collections import Counter

import pytest

ANSWERS = pytest.StashKey[Counter[int]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fuzz-cases",
        type=int,
        default=None,
        help="how many requests are made up over all calls, new ones each time",
    )


@pytest.fixture(autouse=True)
def answers(request: pytest.FixtureRequest) -> Counter[int]:
    """The statuses of all answers so far."""
    return request.config.stash.setdefault(ANSWERS, Counter())


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if found := config.stash.get(ANSWERS, None):
        parts = ", ".join(f"{count:,} × {status}" for status, count in sorted(found.items()))
        terminalreporter.write_line(f"{found.total():,} made-up requests: {parts}")
