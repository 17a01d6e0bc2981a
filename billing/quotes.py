"""Orders: an offer at a fixed price, kept while money is on its way (rules.md 3.3, C2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from billing import catalog, outbox
from billing.catalog import Item
from billing.clock import DAY
from billing.errors import BillingError, NotFound
from billing.facts import judge
from billing.models import Customer, Kind, Quote
from billing.terms import Terms

VALID_FOR = timedelta(minutes=15)
"""How long an offer's price may be confirmed."""
KEPT_FOR = DAY
"""How long an order waits for money."""
MAX_WORKERS = 10
"""Workers of one cluster, besides its control plane (rules.md 3.1)."""
MOST_OPEN = 50
"""Offers of one customer that are remembered: far more than anybody has on the screen; the oldest goes first."""
MOST_KEPT = 5
"""Orders of one customer that wait for money: each is looked at whenever money comes; the oldest is given up."""


class NotSold(BillingError):
    """The item has no price now."""

    def __init__(self, item: Item) -> None:
        """Name the item."""
        super().__init__(f"{item} has no price")
        self.item = item


class BadOrder(BillingError):
    """A cluster has 1 to 10 workers and a machine none."""

    def __init__(self, order: "Order") -> None:
        """Keep the order."""
        super().__init__(f"{order.item} with {order.workers} workers cannot be had")
        self.order = order


@dataclass(frozen=True, slots=True)
class Order:
    """What a customer wants.

    Attributes:
        item: machine or cluster, size, with or without a public address.
        name: checked host name.
        workers: of a cluster; 0 for a machine.
    """

    item: Item
    name: str
    workers: int = 0

    @property
    def possible(self) -> bool:
        """Whether such a thing is sold."""
        return self.workers == 0 if self.item.kind is Kind.VM else 1 <= self.workers <= MAX_WORKERS


def order_of(quote: Quote) -> Order:
    """Return what a quote is for."""
    return Order(Item.parse(quote.item), quote.name, quote.workers)


async def offer(session: AsyncSession, customer: Customer, order: Order, now: datetime) -> Quote:
    """Return a new quote at the prices of now, to be confirmed within 15 minutes (rules.md 3.3).

    Whether it may be confirmed is another question: see `facts.judge`.

    Raises:
        BadOrder: wrong number of workers.
        NotSold: the item has no price.
    """
    if not order.possible:
        raise BadOrder(order)
    prices = await catalog.price_list(session, now)
    wanted = (order.item, order.item.worker) if order.workers else (order.item,)
    for item in wanted:
        if item not in prices:
            raise NotSold(item)
    quote = Quote(
        customer_id=customer.id,
        item=order.item.code,
        name=order.name,
        workers=order.workers,
        control_monthly=prices[order.item],
        worker_monthly=prices[order.item.worker] if order.workers else 0,
        created_at=now,
        expires_at=now + VALID_FOR,
    )
    session.add(quote)
    await session.flush()
    await _forget_the_oldest(session, customer)
    return quote


async def _forget_the_oldest(session: AsyncSession, customer: Customer) -> None:
    """Have a customer's offers that came to nothing be so many at most."""
    open_ = (Quote.customer_id == customer.id, Quote.confirmed_at.is_(None), Quote.kept_until.is_(None))
    oldest = select(Quote.id).where(*open_).order_by(Quote.id.desc()).offset(MOST_OPEN).limit(1).scalar_subquery()
    await session.execute(delete(Quote).where(*open_, Quote.id <= oldest).execution_options(synchronize_session=False))


async def get(session: AsyncSession, customer: Customer, quote_id: int) -> Quote:
    """Return a customer's quote.

    Raises:
        NotFound: there is none with this id, or it is another's.
    """
    quote = await session.scalar(select(Quote).where(Quote.id == quote_id, Quote.customer_id == customer.id))
    if quote is None:
        raise NotFound("quote", quote_id)
    return quote


def is_valid(quote: Quote, now: datetime) -> bool:
    """Return whether a quote's price still counts."""
    return now < quote.expires_at


async def requote(session: AsyncSession, customer: Customer, quote: Quote, now: datetime) -> Quote:
    """Return a fresh quote of the same order; where the old one was kept for money, the fresh one is instead.

    Raises:
        NotSold: the item has no price any more.
    """
    fresh = await offer(session, customer, order_of(quote), now)
    fresh.kept_until, quote.kept_until = quote.kept_until, None
    await session.flush()
    return fresh


async def keep(session: AsyncSession, quote: Quote, now: datetime) -> None:
    """Keep an order that lacks money for a day; it replaces another kept one of the same kind and name (C2)."""
    await session.execute(
        update(Quote)
        .where(
            Quote.customer_id == quote.customer_id,
            Quote.kept_until.is_not(None),
            Quote.name == quote.name,
            Quote.item.startswith(f"{Item.parse(quote.item).kind.value}-"),
            Quote.id != quote.id,
        )
        .values(kept_until=None)
    )
    quote.kept_until = now + KEPT_FOR
    await session.flush()
    waiting = Quote.customer_id == quote.customer_id, Quote.kept_until.is_not(None)
    beyond = select(Quote.id).where(*waiting).order_by(Quote.id.desc()).offset(MOST_KEPT).limit(1).scalar_subquery()
    await session.execute(update(Quote).where(*waiting, Quote.id <= beyond).values(kept_until=None))


async def forget(session: AsyncSession, quote: Quote) -> None:
    """Stop keeping an order: the customer gave it up."""
    quote.kept_until = None
    await session.flush()


async def kept(session: AsyncSession, customer: Customer, now: datetime) -> Sequence[Quote]:
    """Return a customer's orders that wait for money, oldest first."""
    return (
        await session.scalars(
            select(Quote)
            .where(Quote.customer_id == customer.id, Quote.kept_until.is_not(None), Quote.kept_until > now)
            .order_by(Quote.id)
        )
    ).all()


async def offer_kept(session: AsyncSession, customer: Customer, *, now: datetime, terms: Terms) -> list[Quote]:
    """Offer again every kept order that can go through now, and tell the customer (C2).

    Called when money or a card came, after it was used for what was due. The order was kept, not the price: one
    whose offer has run out is quoted afresh, and the notice shows both prices. Each is told once per quote. Orders
    are looked at one by one, as the customer would confirm them: whether two can go through together is asked again
    when they do.
    """
    return [
        await _offer_again(session, customer, quote, now)
        for quote in await kept(session, customer, now)
        if (await judge(session, customer, quote, now=now, terms=terms)).allowed
    ]


async def _offer_again(session: AsyncSession, customer: Customer, quote: Quote, now: datetime) -> Quote:
    before = quote.monthly
    fresh = quote if is_valid(quote, now) else await requote(session, customer, quote, now)
    await outbox.tell(
        session,
        customer,
        "order_ready",
        {
            "quote_id": fresh.id,
            "name": fresh.name,
            "item": fresh.item,
            "workers": fresh.workers,
            "monthly": fresh.monthly,
            "monthly_before": before,
            "expires_at": fresh.expires_at.isoformat(),
        },
        now=now,
        dedup=f"quote:{fresh.id}:ready",
    )
    return fresh
