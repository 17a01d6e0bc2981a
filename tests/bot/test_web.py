"""What the internet may send to the web endpoints, and what becomes of it."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select
from telegram import Bot

from billing.clock import ManualClock
from billing.db import Database
from bot.models import ChatUpdate
from bot.updates import UpdateStore
from bot.web.health import Health
from bot.web.limits import LARGEST_BODY
from bot.web.pages import CheckoutPages
from bot.web.routes import application
from bot.web.telegram import TelegramHook
from tests.bot.test_replicas import says

SECRET = "of-a-test"
HEADER = "X-Telegram-Bot-Api-Secret-Token"


@pytest.fixture
async def client(sqlite_database: Database, clock: ManualClock) -> AsyncIterator[httpx.AsyncClient]:
    async def look(_: str) -> None:
        raise AssertionError("nobody asked for a page")

    bot = Bot("1:a")
    app = application(
        telegram=TelegramHook(SECRET, UpdateStore(sqlite_database, clock), bot),
        stripe=None,
        pages=CheckoutPages("https://t.me/shop", look, look),
        health=Health(sqlite_database, bot, clock),
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as opened:
        yield opened


async def stored(database: Database) -> int:
    async with database.read() as session:
        return await session.scalar(select(func.count()).select_from(ChatUpdate)) or 0


@pytest.mark.parametrize("headers", [{}, {HEADER: ""}, {HEADER: "of-a-tesT"}, {HEADER: SECRET + "x"}, {HEADER: "é"}])
async def test_telegrams_webhook_asks_for_the_secret(
    client: httpx.AsyncClient, sqlite_database: Database, headers: dict[str, str]
) -> None:
    given: Any = {name: value.encode() for name, value in headers.items()}
    assert (await client.post("/telegram", json=says(1), headers=given)).status_code == 403
    assert await stored(sqlite_database) == 0
    for _ in range(2):
        assert (await client.post("/telegram", json=says(1), headers={HEADER: SECRET})).status_code == 200
    assert await stored(sqlite_database) == 1


@pytest.mark.parametrize("tells_length", [True, False])
async def test_a_body_beyond_the_limit_is_refused(
    client: httpx.AsyncClient, sqlite_database: Database, *, tells_length: bool
) -> None:
    async def drip() -> AsyncIterator[bytes]:
        for _ in range(LARGEST_BODY // 65536 + 1):
            yield b" " * 65536

    content: Any = b" " * (LARGEST_BODY + 1) if tells_length else drip()
    answer = await client.post("/telegram", content=content, headers={HEADER: SECRET})
    assert answer.status_code == 413
    assert await stored(sqlite_database) == 0
