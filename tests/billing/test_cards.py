"""Customers' cards (rules.md 7.1 to 7.3, 3.6)."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from billing import accounts, cards
from billing.cards import Fate
from billing.clock import DAY, ManualClock
from billing.db import Database
from billing.errors import CardNeeded, NotFound
from billing.gateway import CardDetails
from billing.models import Card, Customer, SettlementWish
from tests.billing.builders import make_customer, make_subscription, run
from tests.billing.shop import MASTERCARD, VISA
from tests.billing.till import Till, open_till

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
DETAILS = CardDetails("pm_1", "cus_1", "finger", "visa", "4242", 12, 2034)


def details(number: int, **changes: object) -> CardDetails:
    """Another card each time."""
    base = replace(DETAILS, provider_id=f"pm_{number}", fingerprint=f"finger{number}")
    return replace(base, **changes)  # type: ignore[arg-type]  # the names are checked when it runs


async def adopt(database: Database, customer: Customer, card: CardDetails) -> cards.Adoption:
    async with database.transaction() as session:
        return await cards.adopt(session, customer.id, card, now=NOW)


async def held(database: Database, customer: Customer) -> list[str]:
    """The customer's cards in their order."""
    async with database.read() as session:
        return [card.provider_id for card in await cards.listed(session, customer.id)]


@pytest.fixture
async def customer(database: Database) -> Customer:
    async with database.transaction() as session:
        return await make_customer(session)


async def default_of(database: Database, customer: Customer) -> int | None:
    async with database.read() as session:
        return (await accounts.get(session, customer.id)).default_card_id


async def remove(database: Database, customer: Customer, card: Card | None) -> None:
    assert card is not None
    async with database.transaction() as session:
        await cards.remove(session, customer.id, card.id, now=NOW)


async def test_the_first_card_becomes_the_default_and_settles(database: Database, customer: Customer) -> None:
    """Rule 7.3, A17."""
    first = await adopt(database, customer, details(1))
    await adopt(database, customer, details(2))
    assert first.fate is Fate.ADDED
    assert first.card is not None
    assert await default_of(database, customer) == first.card.id
    async with database.read() as session:
        wish = await session.get_one(SettlementWish, (customer.id, True))
    assert wish.reason == "card_added"


async def test_adopting_twice_is_once(database: Database, customer: Customer) -> None:
    """Rule 7.1: webhook, return page and poll may all come."""
    await adopt(database, customer, details(1))
    again = await adopt(database, customer, details(1))
    assert again.fate is Fate.KNOWN
    assert await held(database, customer) == ["pm_1"]


async def test_a_removed_card_does_not_come_back_by_a_late_event(database: Database, customer: Customer) -> None:
    adopted = await adopt(database, customer, details(1))
    await remove(database, customer, adopted.card)
    late = await adopt(database, customer, details(1))
    assert (late.fate, late.card) == (Fate.KNOWN, None)
    assert await held(database, customer) == []


async def test_another_customers_card_is_detached_again_and_said_so(database: Database, customer: Customer) -> None:
    """Rule 7.2, A14."""
    await adopt(database, customer, details(1))
    async with database.transaction() as session:
        other = await make_customer(session)
    refused = await adopt(database, other, details(2, fingerprint="finger1"))
    assert (refused.fate, refused.card) == (Fate.FOREIGN, None)
    assert await held(database, other) == []
    assert await default_of(database, other) is None
    async with database.read() as session:
        assert [card.provider_id for card in await cards.to_detach(session, limit=10)] == ["pm_2"]


async def test_a_removed_card_may_be_added_by_another_customer(database: Database, customer: Customer) -> None:
    """Rule 7.2: unique among live cards."""
    adopted = await adopt(database, customer, details(1))
    await remove(database, customer, adopted.card)
    async with database.transaction() as session:
        other = await make_customer(session)
    assert (await adopt(database, other, details(2, fingerprint="finger1"))).fate is Fate.ADDED


async def test_a_renewed_card_takes_the_old_ones_place(database: Database, customer: Customer) -> None:
    """Rule 7.2."""
    await adopt(database, customer, details(1))
    await adopt(database, customer, details(2))
    renewed = await adopt(database, customer, details(3, fingerprint="finger1", expiry_year=2040))
    assert renewed.fate is Fate.REPLACED
    assert renewed.card is not None
    assert await default_of(database, customer) == renewed.card.id
    assert await held(database, customer) == ["pm_3", "pm_2"]
    async with database.read() as session:
        assert [card.provider_id for card in await cards.to_detach(session, limit=10)] == ["pm_1"]


async def test_what_is_no_card_is_detached(database: Database, customer: Customer) -> None:
    """Rule 7.2."""
    refused = await adopt(database, customer, CardDetails("pm_9", "cus_1", ""))
    assert refused.fate is Fate.NO_CARD
    async with database.read() as session:
        assert [card.provider_id for card in await cards.to_detach(session, limit=10)] == ["pm_9"]


async def test_two_customers_adding_one_card_in_the_same_moment(database: Database) -> None:
    """One of them has it, whoever was first."""
    async with database.transaction() as session:
        both = [await make_customer(session) for _ in range(2)]
    adopting = (adopt(database, who, details(n, fingerprint="one")) for n, who in enumerate(both))
    fates = [adoption.fate for adoption in await asyncio.gather(*adopting)]
    assert sorted(fates) == [Fate.ADDED, Fate.FOREIGN]


async def test_removing_the_default_makes_the_oldest_other_the_default(database: Database, customer: Customer) -> None:
    """Rule 7.3."""
    adopted = [await adopt(database, customer, details(number)) for number in (1, 2, 3)]
    await remove(database, customer, adopted[0].card)
    assert await held(database, customer) == ["pm_2", "pm_3"]
    assert adopted[1].card is not None
    assert await default_of(database, customer) == adopted[1].card.id


async def test_the_default_is_charged_first(database: Database, customer: Customer) -> None:
    """Rule 6.2."""
    adopted = [await adopt(database, customer, details(number)) for number in (1, 2, 3)]
    assert adopted[2].card is not None
    async with database.transaction() as session:
        await cards.set_default(session, customer.id, adopted[2].card.id, now=NOW)
    assert await held(database, customer) == ["pm_3", "pm_1", "pm_2"]


async def test_a_strangers_card_is_not_found(database: Database, customer: Customer) -> None:
    adopted = await adopt(database, customer, details(1))
    assert adopted.card is not None
    async with database.transaction() as session:
        stranger = await make_customer(session)
    for act in (cards.remove, cards.set_default):
        with pytest.raises(NotFound):
            async with database.transaction() as session:
                await act(session, stranger.id, adopted.card.id, now=NOW)


# --- the last one stays (7.3, A16)


async def test_the_last_card_stays_while_something_runs(database: Database, customer: Customer) -> None:
    adopted = await adopt(database, customer, details(1))
    async with database.transaction() as session:
        await make_subscription(session, customer)
    with pytest.raises(CardNeeded) as refused:
        await remove(database, customer, adopted.card)
    assert refused.value.deployments
    await adopt(database, customer, details(2))
    await remove(database, customer, adopted.card)
    assert await held(database, customer) == ["pm_2"]


async def test_an_invalid_second_card_does_not_free_the_last_valid_one(database: Database, customer: Customer) -> None:
    adopted = await adopt(database, customer, details(1))
    await adopt(database, customer, details(2, expiry_month=12, expiry_year=2025))
    async with database.transaction() as session:
        await make_subscription(session, customer)
    with pytest.raises(CardNeeded):
        await remove(database, customer, adopted.card)


async def test_an_expired_card_may_go_while_a_valid_one_stays(database: Database, customer: Customer) -> None:
    expired = await adopt(database, customer, details(1, expiry_month=12, expiry_year=2025))
    await adopt(database, customer, details(2))
    async with database.transaction() as session:
        await make_subscription(session, customer)
    await remove(database, customer, expired.card)
    assert await held(database, customer) == ["pm_2"]


async def test_usage_that_no_invoice_holds_keeps_the_card(database: Database, customer: Customer) -> None:
    """Rule 7.3: the machine is gone, its last hours are not yet invoiced."""
    adopted = await adopt(database, customer, details(1))
    async with database.transaction() as session:
        subscription = await make_subscription(session, customer)
        await run(session, subscription, "2026-01-05 10:00", "2026-01-05 10:20")
        subscription.ended_at = NOW
    with pytest.raises(CardNeeded) as refused:
        await remove(database, customer, adopted.card)
    assert (refused.value.deployments, refused.value.debt, refused.value.usage) == (False, False, True)


async def test_a_run_of_no_time_keeps_nothing(database: Database, customer: Customer) -> None:
    adopted = await adopt(database, customer, details(1))
    async with database.transaction() as session:
        subscription = await make_subscription(session, customer)
        await run(session, subscription, "2026-01-05 10:00", "2026-01-05 10:00")
        subscription.ended_at = NOW
    await remove(database, customer, adopted.card)


@pytest.mark.parametrize(
    ("billed_from", "ended_at", "month"),
    [
        (datetime(2026, 1, 31, 23, 30, tzinfo=UTC), datetime(2026, 2, 1, 0, 30, tzinfo=UTC), 202601),
        (datetime(2026, 1, 31, 23, 30, tzinfo=UTC), datetime(2026, 2, 1, 0, 31, tzinfo=UTC), 202602),
        (datetime(2026, 1, 31, 23, 30, tzinfo=UTC), datetime(2026, 1, 31, 23, 31, tzinfo=UTC), 202601),
    ],
)
def test_the_last_hour_belongs_to_the_month_in_which_it_starts(
    billed_from: datetime, ended_at: datetime, month: int
) -> None:
    """Rule 4.2: an hour that reaches into the next month needs no invoice there."""
    assert cards._last_billed_month(billed_from, ended_at).number == month


# --- valid, chargeable


def card(**fields: object) -> Card:
    plain = {"expiry_month": 1, "expiry_year": 2026, "removed_at": None, "declined_at": None, "declined_hard": False}
    return Card(**(plain | fields))


@pytest.mark.parametrize(
    ("fields", "valid", "chargeable"),
    [
        ({}, True, True),
        ({"expiry_month": 12, "expiry_year": 2025}, False, False),
        ({"removed_at": NOW}, False, False),
        ({"declined_at": NOW}, False, True),
        ({"declined_at": NOW, "declined_hard": True}, False, False),
    ],
)
def test_what_counts_and_what_is_tried(fields: dict[str, object], *, valid: bool, chargeable: bool) -> None:
    """Rules 3.6, 6.7: a soft decline stops new deployments, and is what the calendar tries again."""
    assert cards.is_valid(card(**fields), NOW) is valid
    assert cards.is_chargeable(card(**fields), NOW) is chargeable


def test_a_card_is_good_to_the_end_of_its_month() -> None:
    end = datetime(2026, 2, 1, tzinfo=UTC)
    assert not cards.is_expired(card(), end - timedelta(seconds=1))
    assert cards.is_expired(card(), end)


@pytest.mark.parametrize(
    ("brand", "shown"), [("visa", "Visa •4242"), ("amex", "American Express •4242"), ("new_net", "New Net •4242")]
)
def test_cards_are_named_as_people_know_them(brand: str, shown: str) -> None:
    assert cards.label(Card(brand=brand, last4="4242")) == shown


# --- as the provider has them


@pytest.fixture
async def till(sqlite_database: Database, clock: ManualClock) -> AsyncIterator[Till]:
    async with open_till(sqlite_database, clock) as opened:
        yield opened


async def test_the_provider_forgets_removed_cards_even_after_trouble(till: Till) -> None:
    owner = await till.customer()
    added = await till.add_card(owner)
    assert added is not None
    async with till.database.transaction() as session:
        await cards.remove(session, owner.id, added.id, now=till.clock.now())
    till.stripe.control.fault("error_before", path="/v1/payment_methods/*")
    await till.work()
    await till.work()
    shown = await till.gateway.get_card(added.provider_id)
    assert shown is None or shown.customer_provider_id == ""
    async with till.database.read() as session:
        assert not await cards.to_detach(session, limit=1)


async def test_a_card_renewed_by_its_network_is_tried_again(till: Till) -> None:
    owner = await till.customer()
    added = await till.add_card(owner, expiry="02 / 26")
    assert added is not None
    await till.work()
    till.clock.move(60 * DAY)
    invoice = await till.invoice(owner, 500)
    await till.work()
    assert await till.due(invoice) == 500, "expired cards are not charged"
    till.stripe.control.renew(added.provider_id, exp_month=2, exp_year=2030)
    await till.cashier.notice_card(added.provider_id)
    await till.work()
    assert await till.due(invoice) == 0


async def test_a_card_detached_from_outside_is_taken_off_and_said_so(till: Till) -> None:
    owner = await till.customer()
    first, second = await till.add_card(owner, VISA), await till.add_card(owner, MASTERCARD)
    assert first is not None
    assert second is not None
    till.stripe.control.detach(first.provider_id)
    for _ in range(2):
        await till.cashier.notice_card(first.provider_id)
    async with till.database.read() as session:
        left = list(await session.scalars(select(Card).where(Card.removed_at.is_(None))))
        assert [row.id for row in left] == [second.id]
        assert (await accounts.get(session, owner.id)).default_card_id == second.id
    assert [kind for kind, _ in await till.told(owner)].count("card_gone") == 1


async def test_a_payment_method_that_is_none_of_ours_is_left_alone(till: Till) -> None:
    await till.cashier.notice_card("pm_nobody")
