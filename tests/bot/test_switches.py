"""What the house remembers of itself."""

import pytest

from billing import accounts, ledger
from billing.clock import ManualClock
from billing.db import Database
from billing.ledger import About, Side
from billing.models import AccountKind
from bot import switches
from bot.switches import OtherCurrency


async def test_the_currency_stays_once_money_has_moved(database: Database, clock: ManualClock) -> None:
    """rules.md 1.1."""
    now = clock.now()
    async with database.transaction() as session:
        await switches.keep_currency(session, "usd", now)
        await switches.keep_currency(session, "eur", now)
        ann = await accounts.register(session, telegram_id=1, username="", name="Ann", language="en", now=now)
        await ledger.transfer(
            session,
            operation="first",
            debit=Side(AccountKind.VOUCHERS_ISSUED),
            credit=Side(AccountKind.VOUCHER, ann.id),
            amount=1,
            about=About("redeem"),
            now=now,
        )
        await switches.keep_currency(session, "eur", now)
        with pytest.raises(OtherCurrency, match="CURRENCY: expected eur"):
            await switches.keep_currency(session, "usd", now)


async def test_the_bots_name_is_remembered(database: Database, clock: ManualClock) -> None:
    async with database.transaction() as session:
        assert await switches.bot_username(session) == ""
        await switches.remember_username(session, "shop_bot", clock.now())
    async with database.transaction() as session:
        assert await switches.bot_username(session) == "shop_bot"
