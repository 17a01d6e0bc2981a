"""One try to settle a customer's dues, step by step; each function is one transaction's work (rules.md 6.1 to 6.7)."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from billing import cards, checkouts, dues, ledger, payment_results, payments, reminders, settlement, wishes
from billing.errors import Conflict
from billing.models import (
    Card,
    CheckoutPurpose,
    Customer,
    Payment,
    PaymentKind,
    PaymentMethod,
    PaymentStatus,
    SettlementWish,
)
from billing.payments import Wanted
from billing.settlement import Part, Plan

_REFUSED_FOR = timedelta(hours=6)
"""How long cards rest after the provider refused a charge as it stands, which a person has to mend."""
_SOON = timedelta(minutes=1)
_NEW_CARD = frozenset({"card_added", "card_default", "card_renewed"})


class Act(StrEnum):
    """What the provider is asked to do with a payment."""

    CHARGE = "charge"
    """Charge, or ask for the result again with the same key."""
    READ = "read"
    """Look how it stands: by its id, or by ours in the customer's charges."""
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class Step:
    """The next call of a try."""

    act: Act
    payment_id: int


@dataclass(frozen=True, slots=True)
class Choice:
    """What a customer pays by hand, and with what.

    Attributes:
        invoice_ids: which invoices; `None` for all.
        voucher: use voucher money; `balance` likewise.
        card_id: the card for the rest; `None` for none.
        page: let a hosted page take the rest, with a card that is not saved.
    """

    invoice_ids: tuple[int, ...] | None = None
    voucher: bool = True
    balance: bool = True
    card_id: int | None = None
    page: bool = False

    @property
    def by_card(self) -> bool:
        """Whether a card pays the rest, saved or not."""
        return self.page or self.card_id is not None


async def next_step(
    session: AsyncSession, customer: Customer, wish: SettlementWish, *, minimum: int, now: datetime
) -> Step | None:
    """Use funds, then return the next call to make; `None` when the try is over or has to wait.

    Under the customer's lock. The wish is ended or postponed with the step that is the last.
    """
    await dues.settle_from_funds(session, customer, now=now)
    waiting = await payments.in_flight(session, customer.id)
    confirming = [payment for payment in waiting if payment.status is PaymentStatus.ACTION]
    if confirming and (wish.reason in _NEW_CARD or (await ledger.balances(session, customer.id)).funds):
        # Other money is there for what waits for the customer: it is cancelled first (rules.md 6.7).
        return Step(Act.CANCEL, confirming[0].id)
    unknown = [payment for payment in waiting if payment.status is not PaymentStatus.ACTION]
    if unknown:
        looked_at = min(payment.check_at or now for payment in unknown)
        await wishes.postpone(session, wish, until=max(looked_at, now) + _SOON)
        return None
    if not wish.cards:
        await wishes.end(session, wish, again_at=None)
        return None
    return await _next_charge(session, customer, wish, minimum=minimum, now=now)


async def _next_charge(
    session: AsyncSession, customer: Customer, wish: SettlementWish, *, minimum: int, now: datetime
) -> Step | None:
    open_dues = await dues.open_dues(session, customer.id, by_itself=True)
    planned = settlement.plan(open_dues, voucher=0, balance=0, minimum=minimum)
    if not planned.charges:
        await wishes.end(session, wish, again_at=None)
        return None
    card = await _next_card(session, customer, wish, now)
    if card is None:
        await _give_up(session, customer, wish, now)
        return None
    payment = await _prepare(session, customer, card, planned.charges[0], now)
    return Step(Act.CHARGE, payment.id)


async def _next_card(session: AsyncSession, customer: Customer, wish: SettlementWish, now: datetime) -> Card | None:
    """Return the first card that was not declined in this try."""
    for card in await cards.listed(session, customer.id):
        declined_now = card.declined_at is not None and card.declined_at >= (wish.attempt_at or now)
        if cards.is_chargeable(card, now) and not declined_now:
            return card
    return None


async def _prepare(
    session: AsyncSession, customer: Customer, card: Card, parts: tuple[Part, ...], now: datetime
) -> Payment:
    # The lock and the index of payments in flight keep a second charge away; the number only names this one.
    number = await session.scalar(select(func.count()).where(Payment.customer_id == customer.id))
    wanted = Wanted(
        operation=f"auto:{customer.id}:{number}",
        kind=PaymentKind.INVOICES,
        method=PaymentMethod.CARD,
        amount=sum(part.amount for part in parts),
        card=card,
        parts=parts,
    )
    payment = await payments.prepare(session, customer, wanted, now=now)
    if payment is None:
        raise Conflict(f"payment {wanted.operation} is there already")
    return payment


async def _give_up(session: AsyncSession, customer: Customer, wish: SettlementWish, now: datetime) -> None:
    """End a try in which no card paid, or none is there: told, tried again by the calendar if a card may pay then."""
    first = await payments.first_decline(session, customer.id)
    hopeful = any(cards.is_chargeable(card, now) for card in await cards.listed(session, customer.id))
    again_at = settlement.next_try(first or now, now) if hopeful else None
    declined = (
        await session.scalars(
            select(Payment)
            .where(
                Payment.customer_id == customer.id,
                Payment.status == PaymentStatus.DECLINED,
                Payment.by_hand.is_(False),
                Payment.ended_at >= (wish.attempt_at or now),
            )
            .order_by(Payment.id)
        )
    ).all()
    if declined:
        await payment_results.tell_declined(session, customer, declined, again_at=again_at, now=now)
    else:
        await reminders.tell_unpaid(session, customer, now=now)
    await wishes.end(session, wish, again_at=again_at)


async def after(
    session: AsyncSession,
    customer: Customer,
    wish: SettlementWish,
    step: Step,
    payment: Payment,
    *,
    minimum: int,
    now: datetime,
) -> Step | None:
    """Return the call that follows one whose result was just written down, in the same transaction."""
    match payment.status:
        case PaymentStatus.ACTION if step.act is Act.CANCEL:
            await wishes.postpone(session, wish, until=now + _SOON)
        case PaymentStatus.ACTION:
            # Its day over and not confirmed, the payment is cancelled and the calendar goes on.
            await wishes.end(session, wish, again_at=payment.created_at + payments.ACTION_FOR + _SOON)
        case PaymentStatus.CREATED | PaymentStatus.UNKNOWN:
            await wishes.postpone(session, wish, until=(payment.check_at or now) + _SOON)
        case PaymentStatus.FAILED:
            await wishes.end(session, wish, again_at=now + _REFUSED_FOR)
        case _:
            return await next_step(session, customer, wish, minimum=minimum, now=now)
    return None


# --- by hand


async def preview(session: AsyncSession, customer_id: int, choice: Choice, *, minimum: int) -> Plan:
    """Return the exact split that `pay_by_hand` would make (C1).

    Raises:
        BelowMinimum: the card would have to pay less than it can be charged.
    """
    have = await ledger.balances(session, customer_id)
    return settlement.split(
        await dues.open_dues(session, customer_id, choice.invoice_ids),
        voucher=have.voucher if choice.voucher else 0,
        balance=have.balance if choice.balance else 0,
        by_card=choice.by_card,
        minimum=minimum,
    )


async def begin_by_hand(
    session: AsyncSession,
    customer: Customer,
    choice: Choice,
    *,
    digest: str,
    operation: str,
    minimum: int,
    now: datetime,
) -> Payment | None:
    """Pay from funds, or write down the payment that a card has to make; under the customer's lock.

    A payment on a page has its page's row written down with it: hand that to `Checkouts.open`.

    Raises:
        Conflict: the split is no longer the one that was shown (rules.md 6.3).
        NotFound: the card is not theirs, or removed.
        BelowMinimum: as for `preview`.
    """
    known = (await session.scalars(select(Payment).where(Payment.operation == operation))).one_or_none()
    if known is not None:
        return known
    planned = await preview(session, customer.id, choice, minimum=minimum)
    if planned.digest != digest:
        raise Conflict("the split has changed since it was shown")
    if not planned.charges:
        await _pay_funds(session, customer, planned, now)
        return None
    card = None if choice.card_id is None else await cards.get(session, customer.id, choice.card_id)
    wanted = Wanted(
        operation=operation,
        kind=PaymentKind.INVOICES,
        method=PaymentMethod.CARD if card else PaymentMethod.CHECKOUT,
        amount=planned.by_card,
        card=card,
        parts=planned.charges[0],
        funds=planned.funds,
        by_hand=True,
    )
    payment = await payments.prepare(session, customer, wanted, now=now)
    if payment is not None and card is None:
        await checkouts.want(session, customer.id, CheckoutPurpose.INVOICES, now=now, payment_id=payment.id)
    return payment


async def _pay_funds(session: AsyncSession, customer: Customer, planned: Plan, now: datetime) -> None:
    for payment in planned.funds:
        await dues.pay_from(session, customer, payment.invoice_id, payment.source, payment.amount, now=now)


async def waiting_for(
    session: AsyncSession, customer_id: int, invoice_ids: Collection[int] | None = None
) -> list[Payment]:
    """Return payments that wait for their customer, of all invoices or of those named."""
    found = []
    for payment in await payments.in_flight(session, customer_id):
        touched = {row.invoice_id for row in await payments.allocations(session, payment.id)}
        if payment.status is PaymentStatus.ACTION and (invoice_ids is None or touched & set(invoice_ids)):
            found.append(payment)
    return found
