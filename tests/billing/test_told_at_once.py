"""What a customer is told the moment that money comes or does not (rules.md 9.1, 9.4), through the real cashier."""

from collections.abc import AsyncIterator

import pytest

from billing.clock import ManualClock
from billing.db import Database
from billing.models import Customer
from tests.billing.builders import ran
from tests.billing.shop import DECLINES, VISA
from tests.billing.till import Till, open_till


@pytest.fixture
async def till(sqlite_database: Database, clock: ManualClock) -> AsyncIterator[Till]:
    async with open_till(sqlite_database, clock) as opened:
        yield opened
        await opened.check()


async def kinds(till: Till, customer: Customer) -> list[str]:
    return [kind for kind, _ in await till.told(customer)]


async def test_no_card_and_no_funds_is_told_once_for_each_invoice(till: Till) -> None:
    """9.1: and again when a second one joins it."""
    customer = await till.customer()
    first = await till.invoice(customer, 500)
    await till.work()
    await till.work()
    assert await kinds(till, customer) == ["invoice_unpaid"]
    assert (await till.told(customer))[0][1] == {"invoice_ids": [first.id], "total": 500}
    await till.invoice(customer, 700)
    await till.work()
    assert (await till.told(customer))[-1][1]["total"] == 1200


async def test_a_declined_card_is_told_as_such(till: Till) -> None:
    """9.1: one message says it, not two."""
    customer = await till.customer()
    await till.add_card(customer, DECLINES)
    await till.invoice(customer, 500)
    await till.work()
    assert await kinds(till, customer) == ["card_added", "payment_declined"]


async def test_what_is_paid_or_too_little_is_not_unpaid(till: Till) -> None:
    """6.4: what waits is not due."""
    customer, other = await till.customer(), await till.customer()
    await till.add_card(customer, VISA)
    await till.invoice(customer, 500)
    await till.invoice(other, 40)
    await till.work()
    assert "invoice_unpaid" not in [*await kinds(till, customer), *await kinds(till, other)]


async def test_who_lives_on_vouchers_is_told_with_each_one_how_long_it_lasts(till: Till) -> None:
    """9.4, A5: at once; money until the end of the next month needs no word."""
    customer = await till.customer()
    async with till.database.transaction() as session:
        await ran(session, customer, "2026-01-05 00:00")
    await till.give(customer, voucher=600)
    await till.work()
    ((kind, said),) = await till.told(customer)
    assert (kind, said["funds"], said["until"][:7]) == ("funds_low", 600, "2026-02")
    await till.give(customer, voucher=100)
    await till.work()
    assert [said["funds"] for _, said in await till.told(customer)] == [600, 700]
    await till.give(customer, voucher=1000)
    await till.work()
    assert len(await till.told(customer)) == 2


async def test_a_card_makes_it_unnecessary(till: Till) -> None:
    """9.4."""
    customer = await till.customer()
    await till.add_card(customer, VISA)
    async with till.database.transaction() as session:
        await ran(session, customer, "2026-01-05 00:00")
    await till.give(customer, voucher=600)
    await till.work()
    assert await kinds(till, customer) == ["card_added"]


async def test_nothing_that_runs_nothing_that_ends(till: Till) -> None:
    customer = await till.customer()
    await till.give(customer, voucher=600)
    await till.work()
    assert await till.told(customer) == []
