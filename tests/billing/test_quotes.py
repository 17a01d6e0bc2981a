"""Offers at a fixed price, kept while money is on its way (rules.md 3.3, C2), and the facts they are judged by."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import catalog, facts, ledger, month_run, quotes, subscriptions
from billing.catalog import Item
from billing.clock import DAY, HOUR, ManualClock
from billing.db import Database
from billing.eligibility import Reason
from billing.errors import NotFound
from billing.ledger import About, Side
from billing.models import AccountKind, Card, Customer, Invoice, Kind, Notice, Price, Quote, Usage
from billing.money import Currency
from billing.quotes import BadOrder, NotSold, Order
from billing.terms import Terms
from tests.billing.builders import at, make_customer, make_subscription, ran, run

SMALL = Order(Item(Kind.VM, "small"), "web")
CLUSTER = Order(Item(Kind.K8S, "medium", public=True), "lab", 3)


@pytest.fixture
async def session(database: Database) -> AsyncIterator[AsyncSession]:
    """One transaction with the starting prices, rolled back."""
    async with database.transaction() as session:
        await catalog.ensure_defaults(session, Currency.of("usd"))
        yield session


@pytest.fixture
def now(clock: ManualClock) -> datetime:
    return clock.now()


async def give(session: AsyncSession, customer: Customer, amount: int, now: datetime, kind: str = "balance") -> None:
    """Money on the customer's account."""
    house = AccountKind.CARD_CLEARING if kind == "balance" else AccountKind.VOUCHERS_ISSUED
    await ledger.transfer(
        session,
        operation=f"test:{customer.id}:{kind}:{amount}:{now}",
        debit=Side(house),
        credit=Side(AccountKind(kind), customer.id),
        amount=amount,
        about=About("test"),
        now=now,
    )


async def add_card(session: AsyncSession, customer: Customer, now: datetime, **fields: object) -> Card:
    number = f"{customer.id}-{fields}"[:60]
    values = {"expiry_month": 12, "expiry_year": 2030} | fields
    card = Card(
        customer_id=customer.id, provider_id=number, fingerprint=number, brand="visa", last4="4242", added_at=now
    )
    for name, value in values.items():
        setattr(card, name, value)
    session.add(card)
    await session.flush()
    return card


# --- the offer


async def test_an_offer_holds_its_price_for_15_minutes(session: AsyncSession, now: datetime) -> None:
    customer = await make_customer(session)
    quote = await quotes.offer(session, customer, SMALL, now)
    assert (quote.monthly, quote.workers, quote.worker_monthly) == (500, 0, 0)
    assert quotes.is_valid(quote, now + timedelta(minutes=15) - timedelta(seconds=1))
    assert not quotes.is_valid(quote, now + timedelta(minutes=15))
    assert quotes.order_of(quote) == SMALL


async def test_a_cluster_is_the_sum_of_its_nodes_and_only_the_control_plane_is_public(
    session: AsyncSession, now: datetime
) -> None:
    """Rules 3.1."""
    quote = await quotes.offer(session, await make_customer(session), CLUSTER, now)
    assert (quote.control_monthly, quote.worker_monthly, quote.monthly) == (1200, 1100, 1200 + 3 * 1100)


@pytest.mark.parametrize(
    "order",
    [
        Order(Item(Kind.VM, "small"), "web", 1),
        Order(Item(Kind.K8S, "small"), "lab", 0),
        Order(Item(Kind.K8S, "small"), "lab", 11),
        Order(Item(Kind.K8S, "small"), "lab", -1),
    ],
)
async def test_impossible_orders_are_refused(session: AsyncSession, now: datetime, order: Order) -> None:
    with pytest.raises(BadOrder):
        await quotes.offer(session, await make_customer(session), order, now)


async def test_what_has_no_price_is_not_sold(sqlite_database: Database, now: datetime) -> None:
    async with sqlite_database.transaction() as session:
        session.add(Price(operation="x", item="k8s-medium-public", monthly=5, valid_from=now, set_by=None))
        with pytest.raises(NotSold) as refused:
            await quotes.offer(session, await make_customer(session), CLUSTER, now)
    assert refused.value.item == Item(Kind.K8S, "medium")


async def test_anothers_quote_is_not_found(session: AsyncSession, now: datetime) -> None:
    quote = await quotes.offer(session, await make_customer(session), SMALL, now)
    with pytest.raises(NotFound):
        await quotes.get(session, await make_customer(session), quote.id)


async def test_a_fresh_quote_has_the_price_of_today(session: AsyncSession, now: datetime) -> None:
    customer = await make_customer(session)
    quote = await quotes.offer(session, customer, SMALL, now)
    await catalog.set_price(session, SMALL.item, 900, operation="tap", actor=1, now=now)
    fresh = await quotes.requote(session, customer, quote, now)
    assert (quote.monthly, fresh.monthly) == (500, 900)
    assert fresh.id != quote.id


async def test_only_so_many_offers_are_remembered(session: AsyncSession, now: datetime) -> None:
    customer, other = await make_customer(session), await make_customer(session)
    of_another = await quotes.offer(session, other, SMALL, now)
    kept = await quotes.offer(session, customer, SMALL, now)
    await quotes.keep(session, kept, now)
    used = (await make_subscription(session, customer)).quote_id
    made = [(await quotes.offer(session, customer, SMALL, now)).id for _ in range(quotes.MOST_OPEN + 3)]
    left = set(await session.scalars(select(Quote.id)))
    assert left == {of_another.id, kept.id, used, *made[3:]}


# --- kept orders (C2)


async def test_only_so_many_orders_wait_for_money(session: AsyncSession, now: datetime) -> None:
    customer, other = await make_customer(session), await make_customer(session)
    of_another = await quotes.offer(session, other, SMALL, now)
    await quotes.keep(session, of_another, now)
    made = []
    for number in range(quotes.MOST_KEPT + 2):
        made.append(await quotes.offer(session, customer, Order(SMALL.item, f"web-{number}"), now))
        await quotes.keep(session, made[-1], now)
    assert [quote.id for quote in await quotes.kept(session, customer, now)] == [quote.id for quote in made[2:]]
    assert len(await quotes.kept(session, other, now)) == 1


async def test_an_order_is_kept_for_a_day(session: AsyncSession, now: datetime) -> None:
    customer = await make_customer(session)
    quote = await quotes.offer(session, customer, SMALL, now)
    await quotes.keep(session, quote, now)
    assert [kept.id for kept in await quotes.kept(session, customer, now + DAY - timedelta(seconds=1))] == [quote.id]
    assert not await quotes.kept(session, customer, now + DAY)
    await quotes.forget(session, quote)
    assert not await quotes.kept(session, customer, now)


async def test_the_same_order_is_kept_once_and_a_fresh_quote_takes_its_place(
    session: AsyncSession, now: datetime
) -> None:
    customer = await make_customer(session)
    first, second, other = [
        await quotes.offer(session, customer, order, now)
        for order in (SMALL, SMALL, Order(Item(Kind.K8S, "small"), "web", 1))
    ]
    for quote in (first, other, second):
        await quotes.keep(session, quote, now)
    await session.refresh(first)
    assert [kept.id for kept in await quotes.kept(session, customer, now)] == [second.id, other.id]
    fresh = await quotes.requote(session, customer, second, now + HOUR)
    assert [kept.id for kept in await quotes.kept(session, customer, now + HOUR)] == [other.id, fresh.id]
    assert fresh.kept_until == now + DAY


async def test_a_kept_order_is_offered_when_money_comes_and_told_once(
    session: AsyncSession, now: datetime, terms: Terms
) -> None:
    customer = await make_customer(session)
    await quotes.keep(session, await quotes.offer(session, customer, SMALL, now), now)
    assert await quotes.offer_kept(session, customer, now=now, terms=terms) == []
    await give(session, customer, 700, now)
    await catalog.set_price(session, SMALL.item, 600, operation="tap", actor=1, now=now + HOUR)
    for _ in range(2):
        offered = await quotes.offer_kept(session, customer, now=now + HOUR, terms=terms)
        assert [quote.monthly for quote in offered] == [600]
    told = (await session.scalars(select(Notice))).all()
    assert [(notice.kind, notice.data["monthly"], notice.data["monthly_before"]) for notice in told] == [
        ("order_ready", 600, 500)
    ]
    assert told[0].data["quote_id"] == offered[0].id


async def test_an_order_that_is_still_refused_stays_kept_in_silence(
    session: AsyncSession, now: datetime, terms: Terms
) -> None:
    customer = await make_customer(session, blocked_at=now)
    quote = await quotes.offer(session, customer, SMALL, now)
    await quotes.keep(session, quote, now)
    await give(session, customer, 700, now)
    assert await quotes.offer_kept(session, customer, now=now, terms=terms) == []
    assert [kept.id for kept in await quotes.kept(session, customer, now)] == [quote.id]
    assert (await session.scalars(select(Notice))).all() == []


# --- the facts


@pytest.mark.parametrize(
    ("fields", "valid"),
    [
        ({}, True),
        ({"expiry_month": 1, "expiry_year": 2026}, True),
        ({"expiry_month": 12, "expiry_year": 2025}, False),
        ({"removed_at": at("2026-01-01")}, False),
        ({"declined_at": at("2026-01-01")}, False),
    ],
)
async def test_which_card_is_valid(
    session: AsyncSession, now: datetime, terms: Terms, fields: dict[str, object], *, valid: bool
) -> None:
    """Rules 3.6."""
    customer = await make_customer(session)
    await add_card(session, customer, now, **fields)
    quote = await quotes.offer(session, customer, SMALL, now)
    verdict = await facts.judge(session, customer, quote, now=now, terms=terms)
    assert verdict.allowed is valid


async def test_money_on_its_way_to_an_invoice_is_taken_off_once(
    session: AsyncSession, now: datetime, terms: Terms
) -> None:
    customer = await make_customer(session)
    await give(session, customer, 1000, now)
    await ledger.transfer(
        session,
        operation="issue",
        debit=Side(AccountKind.RECEIVABLE, customer.id),
        credit=Side(AccountKind.REVENUE),
        amount=300,
        about=About("issue"),
        now=now,
    )
    await ledger.transfer(
        session,
        operation="pay",
        debit=Side(AccountKind.BALANCE, customer.id),
        credit=Side(AccountKind.RECEIVABLE, customer.id),
        amount=300,
        about=About("settle"),
        now=now,
        pending=True,
    )
    known = await facts.gather(session, customer, now=now, terms=terms)
    assert (known.voucher, known.balance, known.due) == (0, 700, 0)


async def test_costs_are_sorted_by_what_is_over_and_what_goes_on(
    session: AsyncSession, now: datetime, terms: Terms
) -> None:
    """2026-01-10 12:00; December has no invoice yet."""
    customer = await make_customer(session)
    over = await ran(session, customer, "2025-12-31 14:00", monthly=6720)  # 10 h before, 6 h after
    await subscriptions.end(session, over, at=at("2026-01-01 06:00"))
    await ran(session, customer, "2026-01-10 02:00", monthly=672)  # 10 h so far
    await make_subscription(session, customer, monthly=1344)  # in progress
    await ran(session, await make_customer(session), "2026-01-01", monthly=9999)  # another's
    known = await facts.gather(session, customer, now=now, terms=terms)
    rest = 21 * 24 + 12
    assert known.unbilled_before == 100
    assert known.ended_this_month == 60
    assert known.active_this_month == 10
    assert known.active_monthly == 672 + 1344
    assert known.projected_this_month == 60 + (10 + rest) + 2 * rest


async def test_invoiced_months_are_no_longer_unbilled_except_what_came_to_light_late(
    database: Database, now: datetime, terms: Terms
) -> None:
    async with database.transaction() as session:
        customer = await make_customer(session)
        subscription = await ran(session, customer, "2025-12-31 14:00", "2025-12-31 20:00", monthly=6720)
    async with database.read() as session:
        assert (await facts.gather(session, customer, now=now, terms=terms)).unbilled_before == 60
    await month_run.issue_due(database, now=now, terms=terms)
    async with database.transaction() as session:
        invoice = (await session.scalars(select(Invoice))).one()
        assert invoice.total == 60
        known = await facts.gather(session, customer, now=now, terms=terms)
        assert (known.unbilled_before, known.due) == (0, 60)
        usage = (await session.scalars(select(Usage).where(Usage.subscription_id == subscription.id))).one()
        usage.hours, usage.late = 8, True
        await session.flush()
        assert (await facts.gather(session, customer, now=now, terms=terms)).unbilled_before == 20


async def test_what_is_due_for_over_30_days_and_what_is_disputed(
    database: Database, clock: ManualClock, terms: Terms
) -> None:
    """Rules 3.7; what never reached the card's minimum, or is left of a debt below it, blocks nothing (6.4)."""
    async with database.transaction() as session:
        customer = await make_customer(session)
        await ran(session, customer, "2025-12-01", "2025-12-20")
    await month_run.issue_due(database, now=clock.now(), terms=terms)
    async with database.transaction() as session:
        invoice = (await session.scalars(select(Invoice))).one()
        since = invoice.due_since
        assert since is not None
        for days, overdue in ((30, 0), (31, invoice.due)):
            known = await facts.gather(session, customer, now=since + timedelta(days=days), terms=terms)
            assert (known.overdue, known.overdue_since) == (overdue, since if overdue else None)
            assert known.dispute is False
        whole = invoice.due
        invoice.due = terms.card_minimum - 1
        await session.flush()
        known = await facts.gather(session, customer, now=since + timedelta(days=31), terms=terms)
        assert (known.overdue, known.overdue_since) == (0, None)
        invoice.due = whole
        invoice.disputed = invoice.due
        await session.flush()
        known = await facts.gather(session, customer, now=since + timedelta(days=31), terms=terms)
        assert (known.overdue, known.dispute) == (0, True)
        invoice.disputed, invoice.due_since = 0, None
        await session.flush()
        known = await facts.gather(session, customer, now=since + timedelta(days=31), terms=terms)
        assert (known.overdue, known.due) == (0, invoice.due)


async def test_the_customers_own_limits_count(session: AsyncSession, now: datetime, terms: Terms) -> None:
    customer = await make_customer(session, credit_limit=499, budget=100, blocked_at=now)
    quote = await quotes.offer(session, customer, SMALL, now)
    verdict = await facts.judge(session, customer, quote, now=now, terms=terms, maintenance=True, has_ssh_key=False)
    assert {refusal.reason for refusal in verdict.refusals} == set(Reason) - {Reason.DISPUTE, Reason.OVERDUE}
    customer.credit_limit = None
    verdict = await facts.judge(session, customer, quote, now=now, terms=terms)
    assert Reason.CREDIT_LIMIT not in {refusal.reason for refusal in verdict.refusals}


async def test_a_stopped_machine_that_is_not_over_is_active(session: AsyncSession, now: datetime, terms: Terms) -> None:
    """Suspended: no hours now, yet its price is set aside."""
    customer = await make_customer(session)
    subscription = await make_subscription(session, customer, monthly=672)
    await run(session, subscription, "2026-01-05 00:00", "2026-01-05 10:00")
    known = await facts.gather(session, customer, now=now, terms=terms)
    assert (known.active_monthly, known.active_this_month, known.projected_this_month) == (672, 10, 10)
    await subscriptions.end(session, subscription, at=now)
    known = await facts.gather(session, customer, now=now, terms=terms)
    assert (known.active_monthly, known.ended_this_month) == (0, 10)


async def test_quotes_of_two_customers_do_not_mix(session: AsyncSession, now: datetime) -> None:
    ann, bob = await make_customer(session), await make_customer(session)
    await quotes.keep(session, await quotes.offer(session, ann, SMALL, now), now)
    await quotes.keep(session, await quotes.offer(session, bob, SMALL, now), now)
    rows = (await session.scalars(select(Quote).where(Quote.kept_until.is_not(None)))).all()
    assert {row.customer_id for row in rows} == {ann.id, bob.id}
    assert [kept.customer_id for kept in await quotes.kept(session, ann, now)] == [ann.id]
