"""Told to stop while Stripe thinks: the program ends soon, and the next one finishes what was in hand."""

import asyncio
import time
from datetime import timedelta
from pathlib import Path

from sqlalchemy import func, select

from billing.clock import ManualClock
from billing.db import Database
from billing.models import Notice, PaymentStatus
from bot.models import ChatUpdate
from tests.flows.test_topup import balance, charged, payments, with_card
from tests.flows.world import World, surroundings

_STRIPE_SECONDS = 600.0
"""Far beyond what any stop may wait."""


async def test_a_stop_does_not_wait_for_a_slow_stripe_and_loses_nothing(
    tmp_path: Path, sqlite_url: str, clock: ManualClock
) -> None:
    async with surroundings(clock) as around:
        settings = around.settings(tmp_path, sqlite_url)
        async with around.inhabited(settings, clock) as world:
            ann = await with_card(world, world.person())
            await ann.send("/topup 12.50")
            ways = await ann.wait_for_text("Charge $12.50")
            path = "/v1/payment_intents"
            around.stripe.control.fault("hang_after", method="POST", path=path, seconds=_STRIPE_SECONDS)
            await ann.tap(ways, "Visa •4242, one tap")
            await asked(world)
            began = time.monotonic()
        # Ten seconds are promised; a loaded machine is given more, and far less than Stripe takes.
        assert time.monotonic() - began < _STRIPE_SECONDS / 10
        assert await claims(sqlite_url) == [0, 0]
        around.stripe.control.clear_faults()
        async with around.inhabited(settings, clock) as world:
            for _ in range(4):
                await world.move(timedelta(minutes=2))
            assert charged(world) == [1250]
            assert await balance(world, ann) == 1250
            await world.check()
            assert [one.status for one in await payments(world)] == [PaymentStatus.CANCELLED, PaymentStatus.SUCCEEDED]


async def claims(url: str) -> list[int | None]:
    """How many updates and messages some process has in hand."""
    database = Database(url)
    async with database.read() as session:
        found = [
            await session.scalar(select(func.count()).where(column.is_not(None)))
            for column in (ChatUpdate.leased_by, Notice.leased_by)
        ]
    await database.close()
    return found


async def asked(world: World) -> None:
    """Wait until a charge is written down: Stripe is asked next."""
    async with asyncio.timeout(60):
        while len(await payments(world)) < 2:  # noqa: ASYNC110 the database tells nobody
            await asyncio.sleep(0.05)
