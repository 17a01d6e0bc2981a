"""Stripe's own list against our payments (C13): what differs is said, and nothing is changed."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import update

from billing import accounts, credit_notes, reconciliation
from billing.clock import DAY, HOUR, ManualClock
from billing.credit_notes import Credit
from billing.db import Database
from billing.models import Customer, Payment, PaymentStatus
from billing.money import Currency
from tests.billing.shop import DECLINES
from tests.billing.till import Till, open_till

USD = Currency.of("usd")


@pytest.fixture
async def till(sqlite_database: Database, clock: ManualClock) -> AsyncIterator[Till]:
    async with open_till(sqlite_database, clock) as opened:
        yield opened


async def compared(till: Till) -> list[tuple[str, str]]:
    """What differs: which check, and the subject's first word."""
    found = await reconciliation.differences(till.database, till.gateway, now=till.clock.now())
    return [(one.check, one.subject.split()[0]) for one in found]


async def busy(till: Till) -> tuple[Customer, Payment]:
    """A day with a charge that went through, a declined one, a top-up, a page left open, and a refund."""
    customer = await till.customer()
    await till.add_card(customer, DECLINES)
    await till.add_card(customer)
    await till.work()
    invoice = await till.invoice(customer, 500)
    await till.work()
    await till.top_up(customer, 1000)
    async with till.database.transaction() as session:
        locked = await accounts.lock(session, customer.id)
        await credit_notes.issue(
            session, locked, invoice.id, Credit("c", 200, "test"), currency=USD, now=till.clock.now()
        )
    await till.pass_time(2 * HOUR)
    paid = next(payment for payment in await till.payments(customer) if payment.status is PaymentStatus.SUCCEEDED)
    return customer, paid


async def test_nothing_differs_after_a_busy_day(till: Till) -> None:
    await busy(till)
    assert await compared(till) == []
    till.clock.move(DAY)
    assert await compared(till) == []


async def test_a_charge_that_no_payment_knows(till: Till) -> None:
    """Somebody lost a row; it is said again on each of the following days."""
    _, paid = await busy(till)
    charge = await till.gateway.get_charge(paid.provider_id or "")
    assert charge is not None
    await till.gateway._call(
        till.gateway._stripe.v1.payment_intents.create_async,
        {
            "amount": 700,
            "currency": "usd",
            "customer": charge.customer_provider_id,
            "payment_method": charge.card_provider_id,
            "off_session": True,
            "confirm": True,
            "metadata": {"payment_id": "4711"},
        },
    )
    assert await compared(till) == [("provider", "charge")]
    till.clock.move(DAY)
    assert await compared(till) == [("provider", "charge")]


async def test_a_payment_that_is_not_at_the_provider(till: Till) -> None:
    _, paid = await busy(till)
    async with till.database.transaction() as session:
        await session.execute(update(Payment).where(Payment.id == paid.id).values(provider_id="pi_made_up"))
    assert await compared(till) == [("provider", "payment"), ("provider", "payment")]


async def test_another_amount_and_another_state(till: Till) -> None:
    _, paid = await busy(till)
    async with till.database.transaction() as session:
        await session.execute(update(Payment).where(Payment.id == paid.id).values(amount=499))
    assert await compared(till) == [("provider", "payment")]
    async with till.database.transaction() as session:
        values = {"amount": 500, "status": PaymentStatus.FAILED}
        await session.execute(update(Payment).where(Payment.id == paid.id).values(values))
    assert await compared(till) == [("provider", "payment")]


async def test_a_refund_made_elsewhere(till: Till) -> None:
    _, paid = await busy(till)
    params = {"payment_intent": paid.provider_id, "amount": 100}
    await till.gateway._call(till.gateway._stripe.v1.refunds.create_async, params)
    assert await compared(till) == [("provider", "refunded"), ("refunds", "refund")]


async def test_what_is_under_way_is_no_difference(till: Till) -> None:
    """A charge whose answer was lost a moment ago."""
    customer = await till.customer()
    await till.add_card(customer)
    await till.work()
    await till.invoice(customer, 500)
    till.stripe.control.fault("drop_after", method="POST", path="/v1/payment_intents", times=None)
    await till.work()
    assert till.taken() == 500
    assert await compared(till) == []
    till.clock.move(timedelta(hours=2))
    assert await compared(till) == [("provider", "payment")]
