"""Invoices paid by hand on a hosted page, with a card that is not saved (rules.md 6.3, 6.5, 6.7, 6.8)."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from billing import checkouts, settling
from billing.clock import ManualClock
from billing.db import Database
from billing.errors import Conflict
from billing.models import Customer, Payment, PaymentMethod, PaymentStatus
from billing.settling import Choice
from tests.billing.shop import VISA
from tests.billing.till import TERMS, Till, open_till

PAGE = Choice(page=True)


@pytest.fixture
async def till(database: Database, clock: ManualClock) -> AsyncIterator[Till]:
    async with open_till(database, clock) as opened:
        yield opened
        await opened.check()


async def digest(till: Till, customer: Customer) -> str:
    async with till.database.read() as session:
        return (await settling.preview(session, customer.id, PAGE, minimum=TERMS.card_minimum)).digest


async def begin(till: Till, customer: Customer, operation: str = "hand:1") -> tuple[Payment, str]:
    """Open the page that takes what funds do not cover; return the payment and the page's id."""
    shown = await digest(till, customer)
    payment = await till.cashier.pay(customer.id, PAGE, digest=shown, operation=operation)
    assert payment is not None
    async with till.database.read() as session:
        checkout = await checkouts.of_payment(session, payment.id)
    opened = await till.checkouts.open(checkout)
    assert opened.provider_id is not None
    return payment, opened.provider_id


async def test_page_and_funds_pay_together(till: Till) -> None:
    customer = await till.customer()
    await till.give(customer, voucher=300)
    await till.work()
    invoice = await till.invoice(customer, 900, wish=False)
    payment, page = await begin(till, customer)
    assert (payment.method, payment.amount, payment.status) == (PaymentMethod.CHECKOUT, 600, PaymentStatus.ACTION)
    assert (await till.balances(customer)).voucher == 0
    till.stripe.control.pay(page, VISA)
    await asyncio.gather(*(till.checkouts.notice(page) for _ in range(3)))
    assert await till.due(invoice) == 0
    assert await till.sources(invoice) == [("card_clearing", 600), ("voucher", 300)]
    assert till.taken() == 600


async def test_a_page_that_runs_out_frees_the_funds(till: Till) -> None:
    customer = await till.customer()
    await till.give(customer, voucher=300)
    await till.work()
    invoice = await till.invoice(customer, 900, wish=False)
    await begin(till, customer)
    await till.pass_time(timedelta(hours=26), step=timedelta(hours=1))
    (payment,) = await till.payments(customer)
    assert payment.status is PaymentStatus.CANCELLED
    assert await till.due(invoice) == 900
    assert (await till.balances(customer)).voucher == 300
    assert till.taken() == 0


async def test_the_same_tap_opens_one_page_and_another_one_nothing(till: Till) -> None:
    """6.5: at most one payment in flight touches an invoice."""
    customer = await till.customer()
    await till.invoice(customer, 900, wish=False)
    shown = await digest(till, customer)
    first, page = await begin(till, customer)
    again = await till.cashier.pay(customer.id, PAGE, digest=shown, operation="hand:1")
    assert again is not None
    assert again.id == first.id
    with pytest.raises(Conflict):
        await till.cashier.pay(customer.id, PAGE, digest=shown, operation="hand:2")
    assert len(await till.payments(customer)) == 1
    assert page


async def test_money_that_comes_meanwhile_closes_the_page_first(till: Till) -> None:
    """6.7, 6.8: other money cancels what waits, and the page takes nothing any more."""
    customer = await till.customer()
    invoice = await till.invoice(customer, 900, wish=False)
    _, page = await begin(till, customer)
    await till.give(customer, balance=1000)
    await till.work()
    assert await till.due(invoice) == 0
    assert await till.sources(invoice) == [("balance", 900)]
    with pytest.raises(Exception, match="expired"):
        till.stripe.control.pay(page, VISA)
    assert till.taken() == 0


async def test_a_page_paid_just_before_it_is_closed_counts(till: Till) -> None:
    customer = await till.customer()
    invoice = await till.invoice(customer, 900, wish=False)
    _, page = await begin(till, customer)
    till.stripe.control.pay(page, VISA)
    assert await till.cashier.cancel_waiting(customer.id)
    assert await till.due(invoice) == 0
    assert await till.sources(invoice) == [("card_clearing", 900)]
    assert till.taken() == 900
