"""One name for all that one request sets off: in the log, in the ledger, at Telegram and at Stripe."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from billing.clock import ManualClock
from bot import logs
from bot.setting_types import LogFormat, LogLevel
from tests.flows.world import open_world


@pytest.fixture
def record() -> Iterator[io.StringIO]:
    """All that is logged, as JSON, from debug on."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.configure(LogFormat.JSON, level=LogLevel.DEBUG, stream=stream)
    yield stream
    logging.captureWarnings(capture=False)
    root.handlers[:] = before
    root.setLevel(level)


async def test_a_request_is_followed_through_transactions_and_outside_calls(
    tmp_path: Path, sqlite_url: str, clock: ManualClock, record: io.StringIO
) -> None:
    async with open_world(tmp_path, sqlite_url, clock) as world:
        ann = world.person()
        await ann.start()
        await ann.wait_for_text("Hello")
        await ann.send("/topup 10")
        await ann.wait_for_text("Charge $10.00")
    lines = [json.loads(line) for line in record.getvalue().splitlines()]
    page = next(line for line in lines if "sessions" in line["message"].lower() or "Session" in line["message"])
    assert page["request"].startswith("update:")
    mine = [line["message"] for line in lines if line.get("request") == page["request"]]
    for call in ("transaction:", "stripe SessionService.create:", "telegram sendMessage:"):
        assert any(message.startswith(call) for message in mine), (call, mine)
    assert any(line.get("request") == "worker:messages" for line in lines)
    assert any(str(line.get("request")).startswith("job:meter:2026-01-10T") for line in lines)


def test_both_forms_name_what_a_line_is_about(record: io.StringIO) -> None:
    text = io.StringIO()
    logs.configure(LogFormat.TEXT, stream=text)
    with logs.about("update:712"):
        logging.getLogger("bot.test").info("done")
    logging.getLogger("bot.test").info("idle")
    first, second = text.getvalue().splitlines()
    assert first.endswith("INFO bot.test: [update:712] done")
    assert second.endswith("INFO bot.test: idle")
    assert record.getvalue() == ""
