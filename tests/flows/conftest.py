"""Worlds for flow tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from billing.clock import ManualClock
from tests.flows.world import World, open_world


@pytest.fixture
async def world(tmp_path: Path, sqlite_url: str, clock: ManualClock) -> AsyncIterator[World]:
    """The application on SQLite, polling; the ledger is checked when the test is over."""
    async with open_world(tmp_path, sqlite_url, clock) as opened:
        yield opened
        await opened.check()


@pytest.fixture(params=["polling", "webhook"])
async def either_world(
    request: pytest.FixtureRequest, tmp_path: Path, sqlite_url: str, clock: ManualClock
) -> AsyncIterator[World]:
    """The same, once polling and once told by webhooks."""
    async with open_world(tmp_path, sqlite_url, clock, webhook=request.param == "webhook") as opened:
        yield opened
        await opened.check()
