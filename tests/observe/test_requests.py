"""One name for all that one request sets off: in the log, in the ledger, at Telegram and at Stripe."""

import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from billing.clock import ManualClock
from bot import logs
from bot.setting_types import LogFormat, LogLevel
from cloud.drivers.simulated import Fault, SimulatedDriver
from tests.flows.test_order import with_card
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


async def test_an_order_is_followed_to_the_cloud(
    tmp_path: Path, sqlite_url: str, clock: ManualClock, record: io.StringIO
) -> None:
    """The update names the machine that it wants, each call to the cloud names it again, with time and outcome."""
    async with open_world(tmp_path, sqlite_url, clock) as world:
        assert isinstance(world.app.driver, SimulatedDriver)
        world.app.driver.faults = {"full": Fault.NO_CAPACITY}
        ann = world.person()
        await with_card(world, ann)
        for name, state in (("web", "success"), ("full", "failed")):
            await ann.send(f"/deploy vm small {name}")
            await ann.wait_for_text("held until")
            await ann.press(f"Deploy {name}")
            await ann.wait_for_text(name, state)
    lines = [json.loads(line) for line in record.getvalue().splitlines()]
    wanted = [line for line in lines if re.fullmatch(r"deployment \d+ is wanted: vm-.*", line["message"])]
    assert [line["request"].partition(":")[0] for line in wanted] == ["update", "update"]
    web, full = (line["message"].split()[-1] for line in wanted)
    calls = [line for line in lines if line["message"].startswith("cloud ")]
    assert {line["request"].partition(":")[0] for line in calls} == {"worker", "job"}  # none is nameless
    said = {(line["level"], re.sub(r"\d+ ms$", "", line["message"])) for line in calls}
    assert ("INFO", f"cloud create {web}: done, ") in said
    assert any(level == "INFO" and text.startswith(f"cloud create {full}: OutOfCapacity: ") for level, text in said)
    assert ("DEBUG", f"cloud get {web}: done, ") in said
    assert ("DEBUG", "cloud list_owned -: done, ") in said


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
