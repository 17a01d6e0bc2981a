"""Charging the balance: the page, the saved card in its place, credited once (rules.md 7.4, A20)."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing import checkouts, topups
from billing.clock import ManualClock
from billing.db import Database
from billing.errors import Conflict, NotFound, OutOfRange
from billing.models import CheckoutStatus, Customer, Payment, PaymentStatus
from billing.money import Currency
from billing.terms import Terms
from tests.billing.shop import DECLINES, MASTERCARD, VISA, spoil_charges
from tests.billing.till import TERMS, Till, open_till


@pytest.fixture
async def till(sqlite_database: Database, clock: ManualClock) -> AsyncIterator[Till]:
    async with open_till(sqlite_database, clock) as opened:
        yield opened
        await opened.check()


async def offer(till: Till, customer: Customer, amount: int = 1000, operation: str = "update:1") -> Payment:
    """Open a page for a top-up; return the payment behind it."""
    async with till.database.transaction() as session:
        checkout = await topups.want(session, customer, amount, operation=operation, terms=TERMS, now=till.clock.now())
    await till.checkouts.open(checkout)
    async with till.database.read() as session:
        return await topups.get(session, customer.id, checkout.payment_id or 0)


async def page_of(till: Till, payment: Payment) -> str:
    async with till.database.read() as session:
        found = await checkouts.of_payment(session, payment.id)
    assert found.provider_id is not None
    return found.provider_id


@given(st.integers(1, 10_000), st.integers(1, 100))
def test_suggestions_are_allowed_and_never_empty(least: int, times: int) -> None:
    terms = Terms(Currency.of("usd"), topup_least=least, topup_most=least * times)
    offered = topups.suggestions(terms)
    assert offered
    assert list(offered) == sorted(set(offered))
    assert all(least <= amount <= least * times for amount in offered)


@pytest.mark.parametrize("amount", [499, 100_001])
async def test_amounts_have_limits(till: Till, amount: int) -> None:
    customer = await till.customer()
    async with till.database.transaction() as session:
        with pytest.raises(OutOfRange):
            await topups.want(session, customer, amount, operation="u", terms=TERMS, now=till.clock.now())


async def test_the_same_operation_opens_one_page(till: Till) -> None:
    customer = await till.customer()
    first, second = await offer(till, customer), await offer(till, customer)
    assert first.id == second.id
    assert await page_of(till, first) == await page_of(till, second)
    assert len(await till.payments(customer)) == 1


async def test_a_paid_page_credits_once_and_settles(till: Till) -> None:
    """Rule 7.4, A20. A20: what is due is paid from it, and no card is charged for it."""
    customer = await till.customer()
    await till.add_card(customer)
    invoice = await till.invoice(customer, 400, wish=False)
    payment = await offer(till, customer)
    page = await page_of(till, payment)
    till.stripe.control.pay(page, VISA)
    await asyncio.gather(*(till.checkouts.notice(page) for _ in range(3)))
    await till.work()
    assert await till.due(invoice) == 0
    assert await till.sources(invoice) == [("balance", 400)]
    assert (await till.balances(customer)).balance == 600
    assert till.taken() == 1000


async def test_an_abandoned_page_charges_nothing(till: Till) -> None:
    customer = await till.customer()
    payment = await offer(till, customer)
    await till.pass_time(timedelta(hours=25), step=timedelta(hours=5))
    (after,) = await till.payments(customer)
    assert (after.id, after.status) == (payment.id, PaymentStatus.CANCELLED)
    assert (await till.balances(customer)).balance == 0


async def test_one_tap_charges_the_card_once_and_closes_the_page(till: Till) -> None:
    """Rule 7.4."""
    customer = await till.customer()
    card = await till.add_card(customer)
    assert card is not None
    offered = await offer(till, customer)
    charges = await asyncio.gather(*(till.cashier.top_up_by_card(customer.id, offered.id, card.id) for _ in range(4)))
    assert {charge.id for charge in charges} == {charges[0].id}
    await till.work()
    async with till.database.read() as session:
        page = await checkouts.of_payment(session, offered.id)
    assert page.status in {CheckoutStatus.OPEN, CheckoutStatus.EXPIRED}
    with pytest.raises(Exception, match="expired"):
        till.stripe.control.pay(await page_of(till, offered), VISA)
    assert till.taken() == 1000
    assert (await till.balances(customer)).balance == 1000


async def test_two_cards_tapped_charge_one(till: Till) -> None:
    customer = await till.customer()
    visa, master = await till.add_card(customer), await till.add_card(customer, MASTERCARD)
    assert visa is not None
    assert master is not None
    offered = await offer(till, customer)
    first = await till.cashier.top_up_by_card(customer.id, offered.id, visa.id)
    second = await till.cashier.top_up_by_card(customer.id, offered.id, master.id)
    assert first.id == second.id
    assert till.taken() == 1000


async def test_a_declined_card_is_not_charged_twice_and_another_one_may(till: Till) -> None:
    customer = await till.customer()
    bad, good = await till.add_card(customer, DECLINES), await till.add_card(customer, MASTERCARD)
    assert bad is not None
    assert good is not None
    offered = await offer(till, customer)
    for _ in range(2):
        declined = await till.cashier.top_up_by_card(customer.id, offered.id, bad.id)
        assert declined.status is PaymentStatus.DECLINED
    paid = await till.cashier.top_up_by_card(customer.id, offered.id, good.id)
    assert paid.status is PaymentStatus.SUCCEEDED
    assert len(await till.payments(customer)) == 3
    assert (await till.balances(customer)).balance == 1000


async def test_an_answer_that_is_lost_never_becomes_a_second_charge(till: Till) -> None:
    """6.6, for the balance: the charge is made, its answer is lost, it is found and credited once."""
    customer = await till.customer()
    card = await till.add_card(customer)
    assert card is not None
    offered = await offer(till, customer)
    spoil_charges(till.stripe, "drop_after", times=None)
    charge = await till.cashier.top_up_by_card(customer.id, offered.id, card.id)
    till.stripe.control.clear_faults()
    assert charge.status in {PaymentStatus.UNKNOWN, PaymentStatus.SUCCEEDED}
    again = await till.cashier.top_up_by_card(customer.id, offered.id, card.id)
    assert again.id == charge.id
    await till.pass_time(timedelta(minutes=10), step=timedelta(minutes=1))
    assert till.taken() == 1000
    assert (await till.balances(customer)).balance == 1000


async def test_a_page_that_cannot_be_closed_lets_no_card_pay(till: Till) -> None:
    customer = await till.customer()
    card = await till.add_card(customer)
    assert card is not None
    offered = await offer(till, customer)
    page = await page_of(till, offered)
    till.stripe.control.fault("error_before", method="POST", path=f"*/checkout/sessions/{page}/expire", times=None)
    with pytest.raises(Conflict):
        await till.cashier.top_up_by_card(customer.id, offered.id, card.id)
    till.stripe.control.clear_faults()
    assert till.taken() == 0


async def test_top_ups_and_cards_are_their_owners_only(till: Till) -> None:
    ann, bob = await till.customer(), await till.customer()
    hers, his = await till.add_card(ann), await till.add_card(bob, MASTERCARD)
    assert hers is not None
    assert his is not None
    offered = await offer(till, ann)
    for customer, card in ((bob, his), (ann, his)):
        with pytest.raises(NotFound):
            await till.cashier.top_up_by_card(customer.id, offered.id, card.id)
    assert till.taken() == 0


async def test_both_databases_credit_alike(database: Database, clock: ManualClock) -> None:
    """By page, and by a card tapped twice at once."""
    async with open_till(database, clock) as till:
        customer = await till.customer()
        card = await till.add_card(customer)
        assert card is not None
        page = await page_of(till, await offer(till, customer))
        till.stripe.control.pay(page, VISA)
        await asyncio.gather(*(till.checkouts.notice(page) for _ in range(3)))
        offered = await offer(till, customer, operation="update:2")
        await asyncio.gather(*(till.cashier.top_up_by_card(customer.id, offered.id, card.id) for _ in range(3)))
        assert (await till.balances(customer)).balance == till.taken() == 2000
        await till.check()
