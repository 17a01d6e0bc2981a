"""What the rigs have counted, as one table at the end."""

import pytest

from tests.crash.tally import TALLY


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how often the product died, and what was lost."""
    if len(TALLY) > 1:
        terminalreporter.section("kills")
        for line in TALLY.table():
            terminalreporter.write_line(line)
