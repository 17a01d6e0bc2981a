"""Customers' cards (rules.md 7.1 to 7.3, 3.6): what became of one that the provider saved, the default, removal."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, exists, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from billing import accounts, ledger, outbox, wishes
from billing.clock import HOUR, Month
from billing.errors import CardNeeded, NotFound
from billing.gateway import CardDetails
from billing.models import Card, Customer, Interval, InvoiceLine, Subscription

MOST = 10
"""Cards of one customer: one attempt to collect goes through all of them."""
_DEFAULT = select(Customer.default_card_id).where(Customer.id == Card.customer_id).scalar_subquery()
# Made once: it takes longer to write it than to answer it.
_LISTED = (
    select(Card)
    .where(Card.customer_id == bindparam("customer_id"), Card.removed_at.is_(None))
    .order_by((Card.id == func.coalesce(_DEFAULT, 0)).desc(), Card.added_at, Card.id)
)

_BRANDS = {
    "amex": "American Express",
    "cartes_bancaires": "Cartes Bancaires",
    "diners": "Diners Club",
    "eftpos_au": "Eftpos Australia",
    "jcb": "JCB",
    "unionpay": "UnionPay",
}


class Fate(StrEnum):
    """What became of a card that the provider saved."""

    ADDED = "added"
    KNOWN = "known"
    """We had it, or the customer has removed it meanwhile."""
    REPLACED = "replaced"
    """The same number again: a renewed card, in the place of the old entry."""
    FOREIGN = "foreign"
    """Another customer's card; it is detached again."""
    NO_CARD = "no_card"
    """A bank account or wallet; it is detached again."""


@dataclass(frozen=True, slots=True)
class Adoption:
    """What became of it, and the entry that counts now, if one does."""

    fate: Fate
    card: Card | None


# --- reading


async def listed(session: AsyncSession, customer_id: int) -> Sequence[Card]:
    """Return a customer's cards in the order in which they are charged: the default, then oldest first."""
    return (await session.scalars(_LISTED, {"customer_id": customer_id})).all()


async def get(session: AsyncSession, customer_id: int, card_id: int) -> Card:
    """Return one of a customer's cards.

    Raises:
        NotFound: there is none, it is not theirs, or it is removed.
    """
    card = await session.get(Card, card_id)
    if card is None or card.customer_id != customer_id or card.removed_at is not None:
        raise NotFound("card", card_id)
    return card


async def has_valid(session: AsyncSession, customer_id: int, *, now: datetime) -> bool:
    """Return whether the customer has a card that lets them deploy (rules.md 3.6)."""
    return any(is_valid(card, now) for card in await listed(session, customer_id))


def expires_at(card: Card) -> datetime:
    """Return the first instant at which a card is expired: the start of the month after the printed one."""
    return Month(card.expiry_year, card.expiry_month).end


def is_expired(card: Card, now: datetime) -> bool:
    """Return whether the printed month is over."""
    return now >= expires_at(card)


def is_valid(card: Card, now: datetime) -> bool:
    """Return whether a card counts: there, not expired, its last charge not declined (rules.md 3.6)."""
    return card.removed_at is None and not is_expired(card, now) and card.declined_at is None


def valid_sql(now: datetime) -> ColumnElement[bool]:
    """Return `is_valid` as a condition on rows of cards."""
    printed = Card.expiry_year * 12 + Card.expiry_month
    return and_(Card.removed_at.is_(None), Card.declined_at.is_(None), printed >= now.year * 12 + now.month)


def is_chargeable(card: Card, now: datetime) -> bool:
    """Return whether the calendar may charge a card.

    A soft decline makes it count no longer for deploying, yet it is what is tried again; a hard one waits for a new
    card (rules.md 6.7).
    """
    return card.removed_at is None and not is_expired(card, now) and not (card.declined_at and card.declined_hard)


def label(card: Card) -> str:
    """Return a card as people know it: `Visa •4242`."""
    return f"{_BRANDS.get(card.brand, card.brand.replace('_', ' ').title())} •{card.last4}"


def shown(card: Card) -> dict[str, Any]:
    """Return what notices say of a card."""
    return {"card_id": card.id, "card": label(card), "brand": card.brand, "last4": card.last4}


# --- adding


async def adopt(session: AsyncSession, customer_id: int, details: CardDetails, *, now: datetime) -> Adoption:
    """Take over a payment method that the provider verified and saved for this customer; harmless twice."""
    customer = await accounts.lock(session, customer_id)
    known = (await session.scalars(select(Card).where(Card.provider_id == details.provider_id))).one_or_none()
    if known is not None:
        ours = known.customer_id == customer_id and known.removed_at is None
        return Adoption(Fate.KNOWN, known if ours else None)
    if not details.fingerprint:
        return await _send_back(session, customer, details, Fate.NO_CARD, now)
    twin = await _live_twin(session, details.fingerprint)
    if twin is not None and twin.customer_id != customer_id:
        return await _send_back(session, customer, details, Fate.FOREIGN, now)
    if twin is not None:
        twin.removed_at = twin.detach_wanted_at = now
        await session.flush()
    card = await _insert(session, customer, details, now)
    if card is None:
        return await _send_back(session, customer, details, Fate.FOREIGN, now)
    if customer.default_card_id is None or (twin is not None and customer.default_card_id == twin.id):
        customer.default_card_id = card.id
    await session.flush()
    await wishes.wish(session, customer_id, cards=True, reason="card_added", now=now)
    fate = Fate.ADDED if twin is None else Fate.REPLACED
    facts = shown(card) | {"default": customer.default_card_id == card.id, "replaced": twin is not None}
    await outbox.tell(session, customer, "card_added", facts, now=now, dedup=f"card:{card.id}:added")
    return Adoption(fate, card)


async def _live_twin(session: AsyncSession, fingerprint: str) -> Card | None:
    return (
        await session.scalars(select(Card).where(Card.fingerprint == fingerprint, Card.removed_at.is_(None)))
    ).one_or_none()


async def _insert(session: AsyncSession, customer: Customer, details: CardDetails, now: datetime) -> Card | None:
    """Add the row; `None` when another customer added the same card in this very moment."""
    card = _row(customer, details, now)
    try:
        async with session.begin_nested():
            session.add(card)
    except IntegrityError:
        if await _live_twin(session, details.fingerprint) is None:
            raise
        return None
    return card


async def _send_back(
    session: AsyncSession, customer: Customer, details: CardDetails, fate: Fate, now: datetime
) -> Adoption:
    """Remember, as a removed row, that the provider shall forget it; tell the customer why."""
    card = _row(customer, details, now)
    card.removed_at = card.detach_wanted_at = now
    session.add(card)
    await session.flush()
    facts = shown(card) | {"reason": fate.value}
    await outbox.tell(session, customer, "card_refused", facts, now=now, dedup=f"card:{card.id}:refused")
    return Adoption(fate, None)


def _row(customer: Customer, details: CardDetails, now: datetime) -> Card:
    return Card(
        customer_id=customer.id,
        provider_id=details.provider_id,
        fingerprint=details.fingerprint,
        brand=details.brand,
        last4=details.last4,
        expiry_month=details.expiry_month,
        expiry_year=details.expiry_year,
        added_at=now,
    )


# --- changing


async def set_default(session: AsyncSession, customer_id: int, card_id: int, *, now: datetime) -> Card:
    """Make a card the default, and have the dues settled with it (rules.md 6.1).

    Raises:
        NotFound: it is not theirs, or removed.
    """
    customer = await accounts.lock(session, customer_id)
    card = await get(session, customer_id, card_id)
    if customer.default_card_id != card.id:
        customer.default_card_id = card.id
        await session.flush()
        await wishes.wish(session, customer_id, cards=True, reason="card_default", now=now)
    return card


async def remove(session: AsyncSession, customer_id: int, card_id: int, *, now: datetime) -> Card:
    """Remove a card; the oldest other becomes the default if it was that.

    Raises:
        NotFound: it is not theirs, or removed.
        CardNeeded: it is the last valid one, or the last at all, and something may have to be charged (rules.md 7.3).
    """
    await accounts.lock(session, customer_id)
    card = await get(session, customer_id, card_id)
    others = [other for other in await listed(session, customer_id) if other.id != card.id]
    last_valid = is_valid(card, now) and not any(is_valid(other, now) for other in others)
    if last_valid or not others:
        await _refuse_if_needed(session, customer_id)
    card.detach_wanted_at = now
    await _retire(session, card, others, now)
    return card


async def _refuse_if_needed(session: AsyncSession, customer_id: int) -> None:
    mine = Subscription.customer_id == customer_id
    deployments = await session.scalar(select(exists().where(mine, Subscription.ended_at.is_(None))))
    debt = (await ledger.balances(session, customer_id)).receivable > 0
    usage = await has_uninvoiced_usage(session, customer_id)
    if deployments or debt or usage:
        raise CardNeeded(deployments=bool(deployments), debt=debt, usage=usage)


async def has_uninvoiced_usage(session: AsyncSession, customer_id: int) -> bool:
    """Return whether anything ran in a month whose invoice does not hold it yet."""
    billed = select(func.max(InvoiceLine.month)).where(InvoiceLine.subscription_id == Subscription.id).scalar_subquery()
    rows = await session.execute(
        select(Interval.billed_from, Interval.ended_at, billed)
        .join(Subscription, Subscription.id == Interval.subscription_id)
        .where(Subscription.customer_id == customer_id)
        .where(or_(Interval.ended_at.is_(None), Interval.ended_at > Interval.billed_from))
    )
    return any(
        ended is None or invoiced is None or invoiced < _last_billed_month(start, ended)
        for start, ended, invoiced in rows
    )


def _last_billed_month(billed_from: datetime, ended_at: datetime) -> Month:
    """Return the month in which the last billed hour of a time started (rules.md 4.2)."""
    hours = -(-(ended_at - billed_from) // HOUR)
    return Month.of(billed_from + (hours - 1) * HOUR)


async def _retire(session: AsyncSession, card: Card, others: Sequence[Card], now: datetime) -> None:
    card.removed_at = now
    customer = await accounts.get(session, card.customer_id)
    if customer.default_card_id == card.id:
        oldest = min(others, key=lambda other: (other.added_at, other.id), default=None)
        customer.default_card_id = oldest.id if oldest else None
        if oldest:
            await wishes.wish(session, customer.id, cards=True, reason="card_default", now=now)
    await session.flush()


def mark_declined(card: Card, code: str, *, hard: bool, now: datetime) -> None:
    """Remember that the card's last charge was declined, and whether for good."""
    card.declined_at, card.decline_code, card.declined_hard = now, code, hard


def mark_charged(card: Card) -> None:
    """Remember that the card's last charge went through."""
    card.declined_at, card.decline_code, card.declined_hard = None, "", False


# --- as the provider has it now


async def refresh(session: AsyncSession, provider_id: str, details: CardDetails | None, *, now: datetime) -> None:
    """Bring a card up to what the provider shows: renewed by its network, or detached from outside.

    Payment methods that are none of our cards are left alone: a Checkout that saved one says so itself.
    """
    card = (await session.scalars(select(Card).where(Card.provider_id == provider_id))).one_or_none()
    if card is None or card.removed_at is not None:
        return
    customer = await accounts.lock(session, card.customer_id)
    if details is None or not details.customer_provider_id:
        others = [other for other in await listed(session, customer.id) if other.id != card.id]
        await _retire(session, card, others, now)
        await outbox.tell(session, customer, "card_gone", shown(card), now=now, dedup=f"card:{card.id}:gone")
        return
    if (details.expiry_year, details.expiry_month) > (card.expiry_year, card.expiry_month):
        card.expiry_month, card.expiry_year, card.expiry_notice_at = details.expiry_month, details.expiry_year, None
        # What the bank refused the old plastic for may be over.
        mark_charged(card)
        await wishes.wish(session, customer.id, cards=True, reason="card_renewed", now=now)
    await session.flush()


async def to_detach(session: AsyncSession, *, limit: int) -> Sequence[Card]:
    """Return removed cards that the provider still has to forget."""
    wanted = select(Card).where(Card.detach_wanted_at.is_not(None)).order_by(Card.detach_wanted_at, Card.id)
    return (await session.scalars(wanted.limit(limit))).all()


async def mark_detached(session: AsyncSession, card_id: int) -> None:
    """Remember that the provider has forgotten a card."""
    card = await session.get(Card, card_id)
    if card is not None:
        card.detach_wanted_at = None
        await session.flush()
