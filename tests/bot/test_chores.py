"""Jobs as an operator runs them: done when they return, and one line when they cannot be."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import delete, func, select

from billing import accounts, wishes
from billing.clock import ManualClock
from billing.models import Channel, Notice, NoticeStatus, SettlementWish
from bot.app import App
from bot.connection import TelegramUnreachable
from bot.settings import Settings

NOBODY = "http://127.0.0.1:9"


@pytest.fixture
async def app(sqlite_url: str, clock: ManualClock) -> AsyncIterator[App]:
    settings = Settings(
        _env_file=None, bot_token="1:a", telegram_api_url=NOBODY, stripe_api_key="sk_test_x", stripe_api_url=NOBODY,
        database_url=sqlite_url, compute="simulated",
    )  # fmt: skip
    async with App(settings, clock) as opened:
        yield opened


async def leased_elsewhere(app: App) -> None:
    """Somebody wants to be settled, and another process is at it."""
    now = app.clock.now()
    async with app.database.transaction() as session:
        customer = await accounts.register(session, telegram_id=7, username="", name="Ann", language="en", now=now)
        await wishes.wish(session, customer.id, cards=True, reason="issue", now=now)
        await wishes.lease(session, owner="elsewhere:1:2:3", now=now, limit=1)


@pytest.mark.parametrize("name", ["invoice", "settle", "reconcile"])
async def test_a_job_waits_for_what_another_process_settles(app: App, name: str) -> None:
    """Exit 0 means done: cards are charged, whoever charges them."""
    await leased_elsewhere(app)
    job = asyncio.create_task(app.job(name))
    done, _ = await asyncio.wait([job], timeout=1.5)
    assert not done
    async with app.database.transaction() as session:
        await session.execute(delete(SettlementWish))
    async with asyncio.timeout(10):
        assert await job == 0


async def test_a_job_does_what_a_process_that_died_left(app: App, clock: ManualClock) -> None:
    await leased_elsewhere(app)
    job = asyncio.create_task(app.job("settle"))
    await asyncio.sleep(0.5)
    clock.move(wishes.LEASE + timedelta(seconds=1))
    async with asyncio.timeout(10):
        assert await job == 0
    async with app.database.read() as session:
        assert await session.scalar(select(func.count()).select_from(SettlementWish)) == 0


async def test_a_job_that_others_keep_waiting_says_so(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.chores._OTHERS_SECONDS", 0.5)
    await leased_elsewhere(app)
    assert await app.job("settle") == 1


async def test_deliver_says_in_one_line_that_telegram_does_not_answer(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.connection._PATIENCE", ())
    now = app.clock.now()
    async with app.database.transaction() as session:
        session.add(
            Notice(kind="x", channel=Channel.CHAT, recipient=7, data={}, dedup="x", created_at=now, send_at=now,
                   status=NoticeStatus.WAITING)
        )  # fmt: skip
    with pytest.raises(TelegramUnreachable, match="TELEGRAM_API_URL does not answer"):
        await app.job("deliver")
