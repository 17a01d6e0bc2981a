"""Hosted pages: opened, noticed, given up (rules.md 7.1)."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import select

from billing import cards, checkouts
from billing.checkouts import next_look
from billing.clock import DAY, HOUR, ManualClock
from billing.db import Database
from billing.errors import TooMany
from billing.gateway import GatewayBusy, OutcomeUnknown
from billing.models import Card, Checkout, CheckoutPurpose, CheckoutStatus, Customer
from tests.billing.shop import MASTERCARD
from tests.billing.till import Till, open_till

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def till(sqlite_database: Database, clock: ManualClock) -> AsyncIterator[Till]:
    async with open_till(sqlite_database, clock) as opened:
        yield opened


async def opened(till: Till, customer: Customer) -> str:
    checkout = await till.checkouts.open_for_card(customer.id)
    assert checkout.status is CheckoutStatus.OPEN
    assert checkout.url.startswith(till.stripe.base_url)
    assert checkout.provider_id is not None
    return checkout.provider_id


async def state(till: Till, provider_id: str) -> CheckoutStatus:
    async with till.database.read() as session:
        return (await session.scalars(select(Checkout.status).where(Checkout.provider_id == provider_id))).one()


async def count(till: Till, customer: Customer) -> int:
    async with till.database.read() as session:
        return len(await cards.listed(session, customer.id))


async def test_the_page_is_noticed_by_whoever_comes_first_and_harmless_twice(till: Till) -> None:
    """Rule 7.1: webhook, return page and poll at once."""
    customer = await till.customer()
    page = await opened(till, customer)
    till.stripe.control.pay(page)
    till.clock.move(10 * MINUTE)
    await asyncio.gather(*(till.checkouts.notice(page) for _ in range(3)), till.checkouts.poll())
    assert await state(till, page) is CheckoutStatus.COMPLETE
    assert await count(till, customer) == 1
    assert [kind for kind, _ in await till.told(customer)] == ["card_added"]


async def test_polling_alone_notices_it(till: Till) -> None:
    customer = await till.customer()
    page = await opened(till, customer)
    till.stripe.control.pay(page)
    await till.pass_time(4 * MINUTE, step=MINUTE)
    assert await count(till, customer) == 1


async def test_a_page_that_is_still_open_changes_nothing(till: Till) -> None:
    """The return page never trusts its own parameters: anybody may call it with any id."""
    customer = await till.customer()
    page = await opened(till, customer)
    noticed = await till.checkouts.notice(page)
    assert noticed is not None
    assert noticed.status is CheckoutStatus.OPEN
    assert await till.checkouts.notice("cs_invented") is None
    assert await count(till, customer) == 0


async def test_a_page_that_nobody_used_expires(till: Till) -> None:
    customer = await till.customer()
    page = await opened(till, customer)
    await till.pass_time(25 * HOUR, step=HOUR)
    assert await state(till, page) is CheckoutStatus.EXPIRED


async def test_two_customers_do_not_get_each_others_cards(till: Till) -> None:
    one, other = await till.customer(), await till.customer()
    pages = [await opened(till, customer) for customer in (one, other)]
    till.stripe.control.pay(pages[1], MASTERCARD)
    for page in pages:
        await till.checkouts.notice(page)
    assert (await count(till, one), await count(till, other)) == (0, 1)


async def test_another_customers_card_is_refused_and_detached_at_the_provider(till: Till) -> None:
    """Rule 7.2, the whole way."""
    one, other = await till.customer(), await till.customer()
    assert await till.add_card(one)
    assert await till.add_card(other) is None
    await till.work()
    assert ("card_refused", "foreign") in [(kind, data.get("reason")) for kind, data in await till.told(other)]
    attached = [row for row in till.stripe.control.requests() if row["path"].endswith("/detach")]
    assert len(attached) == 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [("drop_after", OutcomeUnknown), ("error_before", OutcomeUnknown), ("rate_limit", GatewayBusy)],
)
async def test_a_page_that_could_not_be_opened_is_given_up(till: Till, fault: str, error: type[Exception]) -> None:
    """Nobody saw its link; the customer asks again and gets another."""
    customer = await till.customer()
    till.stripe.control.fault(fault, path="/v1/checkout/sessions")
    with pytest.raises(error):
        await till.checkouts.open_for_card(customer.id)
    await till.pass_time(5 * MINUTE)
    async with till.database.read() as session:
        assert [row.status for row in await session.scalars(select(Checkout))] == [CheckoutStatus.EXPIRED]
    assert await till.add_card(customer)


async def test_a_customer_is_made_at_the_provider_once(till: Till) -> None:
    """Also when the answer was lost, and when two pages are wanted at once."""
    customer = await till.customer()
    till.stripe.control.fault("drop_after", path="/v1/customers")
    with pytest.raises(OutcomeUnknown):
        await till.checkouts.open_for_card(customer.id)
    await asyncio.gather(*(till.checkouts.open_for_card(customer.id) for _ in range(3)))
    customers = [event for event in till.stripe.control.events() if event["type"] == "customer.created"]
    assert len(customers) == 1


async def test_a_crash_before_the_call_leaves_nothing_that_waits(till: Till) -> None:
    customer = await till.customer()
    async with till.database.transaction() as session:
        row = await checkouts.want(session, customer.id, CheckoutPurpose.CARD, now=till.clock.now())
    till.restart()
    await till.pass_time(5 * MINUTE)
    async with till.database.read() as session:
        assert (await session.get_one(Checkout, row.id)).status is CheckoutStatus.EXPIRED


def test_pages_are_asked_for_often_at_first_and_seldom_later() -> None:
    ages = [timedelta(0), 9 * MINUTE, 30 * MINUTE, 2 * HOUR, DAY]
    polled = [next_look(age, webhook=False) for age in ages]
    told = [next_look(age, webhook=True) for age in ages]
    assert polled == sorted(polled)
    assert told == sorted(told)
    assert polled[0] <= timedelta(seconds=5)
    assert all(alone <= helped for alone, helped in zip(polled, told, strict=True))


async def test_only_so_many_pages_are_open_at_once(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkouts, "MOST_OPEN", 3)
    customer, other = await till.customer(), await till.customer()
    pages = [await opened(till, customer) for _ in range(3)]
    with pytest.raises(TooMany):
        await till.checkouts.open_for_card(customer.id)
    await opened(till, other)
    till.stripe.control.pay(pages[0])
    await till.checkouts.notice(pages[0])
    await opened(till, customer)


async def test_only_so_many_cards_are_kept(till: Till) -> None:
    customer = await till.customer()
    async with till.database.transaction() as session:
        for number in range(cards.MOST):
            session.add(
                Card(customer_id=customer.id, provider_id=f"pm_{number}", fingerprint=f"{number}", brand="visa",
                     last4="4242", expiry_month=12, expiry_year=2030, added_at=till.clock.now())
            )  # fmt: skip
    with pytest.raises(TooMany):
        await till.checkouts.open_for_card(customer.id)
    async with till.database.transaction() as session:
        first = (await cards.listed(session, customer.id))[0]
        await cards.remove(session, customer.id, first.id, now=till.clock.now())
    await opened(till, customer)
